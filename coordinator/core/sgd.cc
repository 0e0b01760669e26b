#include "coordinator/core/sgd.h"

#include "proto/check.h"

namespace weft {

std::unique_ptr<OuterUpdate> Sgd::Create(const OuterOptimizer& config) {
  return std::make_unique<Sgd>(config.learning_rate(), config.momentum());
}

void Sgd::Step(absl::Span<const float> z, absl::Span<const double> combined,
               absl::Span<const absl::Span<float>> state, absl::Span<double> next) const {
  WEFT_CHECK(combined.size() == z.size() && next.size() == z.size());
  WEFT_CHECK(state.size() == (momentum_ != 0 ? 1 : 0));
  if (momentum_ == 0) {
    for (size_t i = 0; i < z.size(); ++i) {
      next[i] = (1 - learning_rate_) * z[i] + learning_rate_ * combined[i];
    }
    return;
  }
  const absl::Span<float> momentum = state[0];
  WEFT_CHECK(momentum.size() == z.size());
  for (size_t i = 0; i < z.size(); ++i) {
    momentum[i] = static_cast<float>(momentum_ * momentum[i] + (z[i] - combined[i]));
    next[i] = z[i] - learning_rate_ * momentum[i];
  }
}

}  // namespace weft
