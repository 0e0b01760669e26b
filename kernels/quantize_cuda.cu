#include "kernels/bf16.h"
#include "kernels/cuda_grid.h"
#include "kernels/quantize_cuda.h"

namespace weft::kernels::cuda {
namespace {

__global__ void EncodeDeltaBf16Kernel(const float* x, const float* base, size_t n,
                                      uint16_t* delta) {
  for (size_t i = FirstElement(); i < n; i += ElementStride()) {
    delta[i] = FloatToBf16(x[i] - base[i]);
  }
}

__global__ void DecodeDeltaBf16Kernel(const uint16_t* delta, const float* base, size_t n,
                                      float* x) {
  for (size_t i = FirstElement(); i < n; i += ElementStride()) {
    x[i] = base[i] + Bf16ToFloat(delta[i]);
  }
}

}  // namespace

cudaError_t EncodeDeltaBf16(const float* x, const float* base, size_t n, uint16_t* delta,
                            cudaStream_t stream) {
  EncodeDeltaBf16Kernel<<<Blocks(n), kThreads, 0, stream>>>(x, base, n, delta);
  return cudaGetLastError();
}

cudaError_t DecodeDeltaBf16(const uint16_t* delta, const float* base, size_t n, float* x,
                            cudaStream_t stream) {
  DecodeDeltaBf16Kernel<<<Blocks(n), kThreads, 0, stream>>>(delta, base, n, x);
  return cudaGetLastError();
}

}  // namespace weft::kernels::cuda
