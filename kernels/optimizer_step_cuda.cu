#include "kernels/adamw_constants.h"
#include "kernels/cuda_grid.h"
#include "kernels/optimizer_step_cuda.h"

namespace weft::kernels::cuda {
namespace {

__global__ void AdamWKernel(AdamWConstants c, bool pulled, const float* gradient, const float* base,
                            size_t n, float* w, float* m, float* v) {
  for (size_t i = FirstElement(); i < n; i += ElementStride()) {
    const float g = gradient[i] * c.gradient_scale;
    const float mean = c.beta1 * m[i] + c.one_minus_beta1 * g;
    const float square = c.beta2 * v[i] + c.one_minus_beta2 * (g * g);
    m[i] = mean;
    v[i] = square;
    const float direction = (mean / c.bias1) / (sqrtf(square / c.bias2) + c.epsilon);
    const float old = w[i];
    const float u = old - c.learning_rate * (direction + c.weight_decay * old);
    w[i] = pulled ? (u + c.pull * base[i]) / c.one_plus_pull : u;
  }
}

}  // namespace

cudaError_t AdamW(const AdamWStep& options, const float* gradient, const float* base, size_t n,
                  float* w, float* m, float* v, cudaStream_t stream) {
  const AdamWConstants constants = ComputeAdamWConstants(options);
  AdamWKernel<<<Blocks(n), kThreads, 0, stream>>>(constants, options.rho != 0, gradient, base, n, w,
                                                  m, v);
  return cudaGetLastError();
}

}  // namespace weft::kernels::cuda
