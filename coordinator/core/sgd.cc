#include "coordinator/core/sgd.h"

#include "proto/check.h"

namespace weft {

std::unique_ptr<OuterUpdate> Sgd::Create(const OuterOptimizer& config) {
  return std::make_unique<Sgd>(config.learning_rate(), config.momentum());
}

void Sgd::Step(absl::Span<const float> z, absl::Span<const double> combined,
               absl::Span<float> momentum, absl::Span<double> next) const {
  WEFT_CHECK(combined.size() == z.size() && next.size() == z.size());
  WEFT_CHECK(momentum.size() == (has_momentum() ? z.size() : 0));
  if (!has_momentum()) {
    for (size_t i = 0; i < z.size(); ++i) {
      next[i] = (1 - learning_rate_) * z[i] + learning_rate_ * combined[i];
    }
    return;
  }
  for (size_t i = 0; i < z.size(); ++i) {
    momentum[i] = static_cast<float>(momentum_ * momentum[i] + (z[i] - combined[i]));
    next[i] = z[i] - learning_rate_ * momentum[i];
  }
}

}  // namespace weft
