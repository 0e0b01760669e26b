// The weighted mean: combined = sum_k p_k x_k (McMahan et al. 2017, algorithm 1), in double, in
// site-name order, then the base's own part. Rules that choose weights from the whole of the
// changes (Krum, the geometric median, clipping) end in it, too. Immutable.
#ifndef WEFT_COORDINATOR_CORE_MEAN_H_
#define WEFT_COORDINATOR_CORE_MEAN_H_

#include <memory>
#include <utility>
#include <vector>

#include "coordinator/core/aggregator.h"

namespace weft {

class Mean : public Aggregator {
 public:
  // z + sum_k p_k scale_k (x_k - z) as a sum over the vectors themselves: with scales of 1 and no
  // base weight z has no part in it, and one site's vector comes back exactly.
  static std::unique_ptr<Aggregator> Create(const Cohort& cohort);
  Mean(std::vector<double> coefficients, double base_coefficient)
      : coefficients_(std::move(coefficients)), base_coefficient_(base_coefficient) {}
  void Combine(absl::Span<const float> z, absl::Span<const absl::Span<const float>> vectors,
               absl::Span<double> combined) const override;

 private:
  std::vector<double> coefficients_;
  double base_coefficient_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_MEAN_H_
