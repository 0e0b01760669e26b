// Nesterov momentum in PyTorch's form (torch.optim.SGD, nesterov=True), DiLoCo's outer optimizer
// (Douillard et al. 2023):
//
//   d = z - combined;  m = mu m + d;  z' = z - lr (d + mu m)
//
// Immutable.
#ifndef WEFT_COORDINATOR_CORE_NESTEROV_H_
#define WEFT_COORDINATOR_CORE_NESTEROV_H_

#include <memory>
#include <vector>

#include "coordinator/core/outer_optimizer.h"

namespace weft {

class Nesterov : public OuterUpdate {
 public:
  static std::unique_ptr<OuterUpdate> Create(const OuterOptimizer& config);
  Nesterov(double learning_rate, double momentum)
      : learning_rate_(learning_rate), momentum_(momentum) {}

  std::vector<float> initial_state() const override { return {0.0f}; }
  void Step(absl::Span<const float> z, absl::Span<const double> combined,
            absl::Span<const absl::Span<float>> state, absl::Span<double> next) const override;

 private:
  double learning_rate_;
  double momentum_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_NESTEROV_H_
