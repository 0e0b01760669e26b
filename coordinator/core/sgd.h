// z' = (1 - lr) z + lr * combined; with momentum m = mu m + d, z' = z - lr m, where d = z -
// combined.
//
// The first form, and not z - lr (z - combined), so that lr 1 with one site gives that site's
// vector exactly. Immutable.
#ifndef WEFT_COORDINATOR_CORE_SGD_H_
#define WEFT_COORDINATOR_CORE_SGD_H_

#include <memory>
#include <vector>

#include "coordinator/core/outer_optimizer.h"

namespace weft {

class Sgd : public OuterUpdate {
 public:
  static std::unique_ptr<OuterUpdate> Create(const OuterOptimizer& config);
  Sgd(double learning_rate, double momentum) : learning_rate_(learning_rate), momentum_(momentum) {}

  std::vector<float> initial_state() const override {
    return std::vector<float>(momentum_ != 0 ? 1 : 0, 0.0f);
  }
  void Step(absl::Span<const float> z, absl::Span<const double> combined,
            absl::Span<const absl::Span<float>> state, absl::Span<double> next) const override;

 private:
  double learning_rate_;
  double momentum_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_SGD_H_
