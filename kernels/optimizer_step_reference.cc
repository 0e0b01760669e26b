// The specification of optimizer_step.h: a plain loop that every back end must match bit for bit.
#include <cmath>

#include "kernels/adamw_constants.h"
#include "kernels/optimizer_step.h"

namespace weft::kernels::reference {

void AdamW(const AdamWStep& options, const float* gradient, const float* base, size_t n, float* w,
           float* m, float* v) {
  const AdamWConstants c = ComputeAdamWConstants(options);
  const bool pulled = options.rho != 0;
  for (size_t i = 0; i < n; ++i) {
    const float g = gradient[i] * c.gradient_scale;
    m[i] = c.beta1 * m[i] + c.one_minus_beta1 * g;
    v[i] = c.beta2 * v[i] + c.one_minus_beta2 * (g * g);
    const float direction = (m[i] / c.bias1) / (std::sqrt(v[i] / c.bias2) + c.epsilon);
    const float u = w[i] - c.learning_rate * (direction + c.weight_decay * w[i]);
    w[i] = pulled ? (u + c.pull * base[i]) / c.one_plus_pull : u;
  }
}

void Sgd(const SgdStep& options, const float* gradient, const float* base, size_t n, float* w) {
  const bool pulled = options.rho != 0;
  const float pull = options.learning_rate * options.rho;
  const float one_plus_pull = 1.0f + pull;
  for (size_t i = 0; i < n; ++i) {
    const float direction = gradient[i] * options.gradient_scale + options.weight_decay * w[i];
    const float u = w[i] - options.learning_rate * direction;
    w[i] = pulled ? (u + pull * base[i]) / one_plus_pull : u;
  }
}

void AddPull(float rho, const float* w, const float* base, size_t n, float* gradient) {
  for (size_t i = 0; i < n; ++i) gradient[i] = gradient[i] + rho * (w[i] - base[i]);
}

}  // namespace weft::kernels::reference
