// The geometric median of the changes: the point v with the least sum of distances
// sum_k ||d_k - v||, which half of the contributions less one cannot move far (Pillutla, Kakade and
// Harchaoui 2022, "Robust Aggregation for Federated Learning", RFA).
//
//   Mean::Create(WeighByGeometricMedian(cohort, products));
//
// Smoothed Weiszfeld (their algorithm 2) from the mean: v = sum_k c_k d_k with c_k proportional to
// 1 / max(nu, ||d_k - v||). v stays a combination of the changes, so the iteration runs on the K
// coefficients and the products alone. nu is 1e-6 of the cohort's median norm, which keeps the
// result from depending on the model's units; it ends when no coefficient changes by more than
// 1e-12 of itself, or after 1000 iterations (an outlier's part shrinks about (K - 1)-fold in each).
// Pure.
#ifndef WEFT_COORDINATOR_CORE_GEOMETRIC_MEDIAN_H_
#define WEFT_COORDINATOR_CORE_GEOMETRIC_MEDIAN_H_

#include "coordinator/core/aggregator.h"

namespace weft {

Cohort WeighByGeometricMedian(const Cohort& cohort, const ChangeProducts& products);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_GEOMETRIC_MEDIAN_H_
