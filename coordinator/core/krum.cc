#include "coordinator/core/krum.h"

#include <algorithm>

#include "proto/check.h"

namespace weft {
namespace {

double Score(const ChangeProducts& products, size_t k, size_t nearest) {
  std::vector<double> distances;
  for (size_t j = 0; j < products.size(); ++j) {
    if (j != k) distances.push_back(products.SquaredDistance(j, k));
  }
  std::sort(distances.begin(), distances.end());
  double score = 0;
  for (size_t i = 0; i < nearest; ++i) score += distances[i];
  return score;
}

}  // namespace

Cohort SelectByKrum(const Cohort& cohort, const ChangeProducts& products, uint32_t faulty_max) {
  const size_t count = products.size();
  WEFT_CHECK(count >= 2 * size_t{faulty_max} + 3);
  size_t selected = 0;
  double lowest = 0;
  for (size_t k = 0; k < count; ++k) {
    const double score = Score(products, k, count - faulty_max - 2);
    if (k > 0 && score >= lowest) continue;
    selected = k;
    lowest = score;
  }
  Cohort one = cohort;
  std::fill(one.weights.begin(), one.weights.end(), 0.0);
  one.weights[selected] = 1;
  one.base_weight = 0;
  return one;
}

}  // namespace weft
