#include "kernels/cuda_grid.h"
#include "kernels/vector_ops_cuda.h"

namespace weft::kernels::cuda {
namespace {

__global__ void AccumulateWeightedKernel(double weight, const float* x, size_t n, double* sum) {
  for (size_t i = FirstElement(); i < n; i += ElementStride()) {
    sum[i] += weight * static_cast<double>(x[i]);
  }
}

__global__ void SquaredDistanceKernel(const float* x, const float* y, size_t n, double* result) {
  __shared__ double lane[8];
  double sum = 0;
  for (size_t i = threadIdx.x; i < n; i += 8) {
    const double d = static_cast<double>(x[i]) - (y == nullptr ? 0.0 : static_cast<double>(y[i]));
    sum += d * d;
  }
  lane[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    *result =
        ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
  }
}

__global__ void StoreKernel(uint64_t value, uint64_t* result) { *result = value; }

__global__ void FirstNotFiniteKernel(const float* x, size_t n, uint64_t* result) {
  for (size_t i = FirstElement(); i < n; i += ElementStride()) {
    if ((__float_as_uint(x[i]) & 0x7f800000u) == 0x7f800000u) {
      atomicMin(reinterpret_cast<unsigned long long*>(result), static_cast<unsigned long long>(i));
      return;  // this thread's later elements have higher indices
    }
  }
}

__global__ void ScaleKernel(float factor, float* x, size_t n) {
  for (size_t i = FirstElement(); i < n; i += ElementStride()) x[i] *= factor;
}

}  // namespace

cudaError_t AccumulateWeighted(double weight, const float* x, size_t n, double* sum,
                               cudaStream_t stream) {
  AccumulateWeightedKernel<<<Blocks(n), kThreads, 0, stream>>>(weight, x, n, sum);
  return cudaGetLastError();
}

cudaError_t SquaredDistance(const float* x, const float* y, size_t n, double* result,
                            cudaStream_t stream) {
  SquaredDistanceKernel<<<1, 8, 0, stream>>>(x, y, n, result);
  return cudaGetLastError();
}

cudaError_t FirstNotFinite(const float* x, size_t n, uint64_t* result, cudaStream_t stream) {
  StoreKernel<<<1, 1, 0, stream>>>(n, result);
  FirstNotFiniteKernel<<<Blocks(n), kThreads, 0, stream>>>(x, n, result);
  return cudaGetLastError();
}

cudaError_t Scale(float factor, float* x, size_t n, cudaStream_t stream) {
  ScaleKernel<<<Blocks(n), kThreads, 0, stream>>>(factor, x, n);
  return cudaGetLastError();
}

}  // namespace weft::kernels::cuda
