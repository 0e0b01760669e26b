#include "coordinator/core/geometric_median.h"

#include <algorithm>
#include <cmath>

#include "coordinator/core/median.h"

namespace weft {
namespace {

constexpr int kIterationsMax = 1000;
constexpr double kTolerance = 1e-12;
constexpr double kSmoothing = 1e-6;
// Where half of the changes are zero: far below any distance, and far from overflow when inverted.
constexpr double kDistanceMin = 1e-150;

// ||d_k - v|| for v = sum_j c_j d_j:  G_kk - 2 (G c)_k + c'G c.
std::vector<double> DistancesTo(const ChangeProducts& products, const std::vector<double>& c) {
  const size_t count = c.size();
  std::vector<double> with_v(count, 0.0);
  double v_squared = 0;
  for (size_t k = 0; k < count; ++k) {
    for (size_t j = 0; j < count; ++j) with_v[k] += products.Product(j, k) * c[j];
    v_squared += with_v[k] * c[k];
  }
  std::vector<double> distances;
  for (size_t k = 0; k < count; ++k) {
    const double squared = products.Product(k, k) - 2 * with_v[k] + v_squared;
    distances.push_back(std::sqrt(std::max(0.0, squared)));
  }
  return distances;
}

}  // namespace

Cohort WeighByGeometricMedian(const Cohort& cohort, const ChangeProducts& products) {
  const size_t count = products.size();
  std::vector<double> norms;
  for (size_t k = 0; k < count; ++k) norms.push_back(products.Norm(k));
  const double nu = std::max(kSmoothing * MedianOf(norms), kDistanceMin);
  std::vector<double> c(count, 1.0 / static_cast<double>(count));
  for (int iteration = 0; iteration < kIterationsMax; ++iteration) {
    std::vector<double> next = DistancesTo(products, c);
    double sum = 0;
    for (double& value : next) {
      value = 1 / std::max(nu, value);
      sum += value;
    }
    bool moved = false;
    for (size_t k = 0; k < count; ++k) {
      next[k] /= sum;
      moved = moved || std::abs(next[k] - c[k]) > kTolerance * next[k];
    }
    c = std::move(next);
    if (!moved) break;
  }
  Cohort weighed = cohort;
  weighed.weights = std::move(c);
  weighed.base_weight = 0;
  return weighed;
}

}  // namespace weft
