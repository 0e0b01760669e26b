#include "coordinator/core/nesterov.h"

#include "proto/check.h"

namespace weft {

std::unique_ptr<OuterUpdate> Nesterov::Create(const OuterOptimizer& config) {
  return std::make_unique<Nesterov>(config.learning_rate(), config.momentum());
}

void Nesterov::Step(absl::Span<const float> z, absl::Span<const double> combined,
                    absl::Span<const absl::Span<float>> state, absl::Span<double> next) const {
  WEFT_CHECK(combined.size() == z.size() && next.size() == z.size() && state.size() == 1);
  const absl::Span<float> momentum = state[0];
  WEFT_CHECK(momentum.size() == z.size());
  for (size_t i = 0; i < z.size(); ++i) {
    const double gradient = z[i] - combined[i];
    momentum[i] = static_cast<float>(momentum_ * momentum[i] + gradient);
    next[i] = z[i] - learning_rate_ * (gradient + momentum_ * momentum[i]);
  }
}

}  // namespace weft
