// One inner step on the flat vector: AdamW or plain SGD, and the proximal pull in the same pass.
//
// AdamW: for each i, with t the step number from 1 (Loshchilov and Hutter 2019, algorithm 2,
// decoupled weight decay):
//   m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
//   u = w - lr * ( (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) + weight_decay * w )
//   w = (u + lr * rho * z) / (1 + lr * rho)              the exact prox of (rho/2)||w - z||^2; rho
//   0: w = u
// Under AdamW the pull is decoupled from the preconditioner, as weight decay is: it is a prox in
// its metric.
//
// SGD: the same with u = w - lr * (g + weight_decay * w).
//
// AddPull is the coupled form of the pull (FedProx as Li et al. 2020 have it, equation 2): the
// gradient of (rho/2)||w - z||^2 is added to that of the loss, before any clipping.
//
// In fp32, in the order written, without contraction: every back end gives the same
// bits.
#ifndef WEFT_KERNELS_OPTIMIZER_STEP_H_
#define WEFT_KERNELS_OPTIMIZER_STEP_H_

#include <cstddef>
#include <cstdint>

namespace weft::kernels {

struct AdamWStep {
  float learning_rate = 0;
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float epsilon = 1e-8f;
  float weight_decay = 0;
  float rho = 0;             // of the pull; 0 leaves `base` unread
  float gradient_scale = 1;  // g is multiplied by it first (clipping)
  uint64_t step = 1;         // t, for the bias corrections
};

// Arrays of n elements. `base` may be null when rho is 0. Weight decay is applied to all n: a
// caller that spares norms calls once for each range.
void AdamW(const AdamWStep& options, const float* gradient, const float* base, size_t n, float* w,
           float* m, float* v);

struct SgdStep {
  float learning_rate = 0;
  float weight_decay = 0;
  float rho = 0;  // as above
  float gradient_scale = 1;
};

void Sgd(const SgdStep& options, const float* gradient, const float* base, size_t n, float* w);

// gradient[i] += rho * (w[i] - base[i]).
void AddPull(float rho, const float* w, const float* base, size_t n, float* gradient);

namespace reference {
void AdamW(const AdamWStep& options, const float* gradient, const float* base, size_t n, float* w,
           float* m, float* v);
void Sgd(const SgdStep& options, const float* gradient, const float* base, size_t n, float* w);
void AddPull(float rho, const float* w, const float* base, size_t n, float* gradient);
}  // namespace reference

}  // namespace weft::kernels

#endif  // WEFT_KERNELS_OPTIMIZER_STEP_H_
