#include "coordinator/core/norm_clipped_mean.h"

#include "coordinator/core/median.h"

namespace weft {

Cohort ClipNorms(const Cohort& cohort, const ChangeProducts& products, double clip_factor) {
  std::vector<double> norms;
  for (size_t k = 0; k < products.size(); ++k) norms.push_back(products.Norm(k));
  const double bound = clip_factor * MedianOf(norms);
  Cohort clipped = cohort;
  for (size_t k = 0; k < norms.size(); ++k) {
    if (norms[k] <= bound) continue;
    const double factor = bound / norms[k];
    clipped.weights[k] = cohort.weights[k] * factor;
    clipped.base_weight += cohort.weights[k] * (1 - factor);
  }
  return clipped;
}

}  // namespace weft
