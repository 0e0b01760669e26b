// The coordinate-wise median (Yin et al. 2018, definition 1): of an even number the mean of the
// middle two. Up to half of the contributions less one cannot take a coordinate outside the range
// of the others. Pure.
#ifndef WEFT_COORDINATOR_CORE_MEDIAN_H_
#define WEFT_COORDINATOR_CORE_MEDIAN_H_

#include <memory>
#include <vector>

#include "coordinator/core/aggregator.h"

namespace weft {

std::unique_ptr<Aggregator> MakeMedian(std::vector<double> scales);

// Of single numbers. Requires one at least.
double MedianOf(std::vector<double> numbers);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_MEDIAN_H_
