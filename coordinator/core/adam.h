// FedAdam (Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2), with d = -Delta:
//
//   d = z - combined;  m = b1 m + (1 - b1) d;  v = b2 v + (1 - b2) d^2;  z' = z - lr m / (sqrt(v) +
//   tau)
//
// No bias correction; v begins at tau^2, as the paper asks. m and v are kept in fp32. The paper's
// learning rate of 0.1 is for tau 1e-3 and small models: a step is up to lr in every coordinate,
// whatever the size of the change, so a transformer wants 1e-3 to 1e-2. Immutable.
#ifndef WEFT_COORDINATOR_CORE_ADAM_H_
#define WEFT_COORDINATOR_CORE_ADAM_H_

#include <memory>
#include <vector>

#include "coordinator/core/outer_optimizer.h"

namespace weft {

class Adam : public OuterUpdate {
 public:
  static std::unique_ptr<OuterUpdate> Create(const OuterOptimizer& config);
  explicit Adam(const OuterOptimizer& config)
      : learning_rate_(config.learning_rate()),
        beta1_(config.momentum()),
        beta2_(config.beta2()),
        tau_(config.tau()) {}

  std::vector<float> initial_state() const override;
  void Step(absl::Span<const float> z, absl::Span<const double> combined,
            absl::Span<const absl::Span<float>> state, absl::Span<double> next) const override;

 private:
  double learning_rate_, beta1_, beta2_, tau_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_ADAM_H_
