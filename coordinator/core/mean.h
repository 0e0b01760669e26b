// The weighted mean: combined = sum_k p_k x_k (McMahan et al. 2017, algorithm 1), in double, in
// site-name order. Immutable.
#ifndef WEFT_COORDINATOR_CORE_MEAN_H_
#define WEFT_COORDINATOR_CORE_MEAN_H_

#include <memory>

#include "coordinator/core/aggregator.h"

namespace weft {

class Mean : public Aggregator {
 public:
  static std::unique_ptr<Aggregator> Create();
  void Combine(absl::Span<const absl::Span<const float>> vectors, absl::Span<const double> weights,
               absl::Span<double> combined) const override;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_MEAN_H_
