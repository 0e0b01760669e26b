#include "coordinator/core/adam.h"

#include <cmath>

#include "proto/check.h"

namespace weft {

std::unique_ptr<OuterUpdate> Adam::Create(const OuterOptimizer& config) {
  return std::make_unique<Adam>(config);
}

std::vector<float> Adam::initial_state() const { return {0.0f, static_cast<float>(tau_ * tau_)}; }

void Adam::Step(absl::Span<const float> z, absl::Span<const double> combined,
                absl::Span<const absl::Span<float>> state, absl::Span<double> next) const {
  WEFT_CHECK(combined.size() == z.size() && next.size() == z.size() && state.size() == 2);
  const absl::Span<float> m = state[0], v = state[1];
  WEFT_CHECK(m.size() == z.size() && v.size() == z.size());
  for (size_t i = 0; i < z.size(); ++i) {
    const double d = z[i] - combined[i];
    m[i] = static_cast<float>(beta1_ * m[i] + (1 - beta1_) * d);
    v[i] = static_cast<float>(beta2_ * v[i] + (1 - beta2_) * (d * d));
    next[i] = z[i] - learning_rate_ * m[i] / (std::sqrt(double{v[i]}) + tau_);
  }
}

}  // namespace weft
