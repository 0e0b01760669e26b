// What one AdamW step computes once, before the loop: shared by all back ends, so that they start
// from the same bits.
//
//   const AdamWConstants c = ComputeAdamWConstants(options);
#ifndef WEFT_KERNELS_ADAMW_CONSTANTS_H_
#define WEFT_KERNELS_ADAMW_CONSTANTS_H_

#include "kernels/optimizer_step.h"

namespace weft::kernels {

struct AdamWConstants {
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float bias1, bias2;  // 1 - beta^t
  float epsilon, weight_decay, learning_rate, gradient_scale;
  float pull;  // lr * rho
  float one_plus_pull;
};

// base^exponent by squaring, in double. Not std::pow: two C libraries may differ in its last bit.
inline double IntegerPower(double base, uint64_t exponent) {
  double result = 1;
  for (; exponent != 0; exponent >>= 1, base *= base) {
    if (exponent & 1) result *= base;
  }
  return result;
}

inline AdamWConstants ComputeAdamWConstants(const AdamWStep& o) {
  AdamWConstants c;
  c.beta1 = o.beta1;
  c.one_minus_beta1 = 1.0f - o.beta1;
  c.beta2 = o.beta2;
  c.one_minus_beta2 = 1.0f - o.beta2;
  c.bias1 = static_cast<float>(1.0 - IntegerPower(o.beta1, o.step));
  c.bias2 = static_cast<float>(1.0 - IntegerPower(o.beta2, o.step));
  c.epsilon = o.epsilon;
  c.weight_decay = o.weight_decay;
  c.learning_rate = o.learning_rate;
  c.gradient_scale = o.gradient_scale;
  c.pull = o.learning_rate * o.rho;
  c.one_plus_pull = 1.0f + c.pull;
  return c;
}

}  // namespace weft::kernels

#endif  // WEFT_KERNELS_ADAMW_CONSTANTS_H_
