// vector_ops.h on a CUDA device: the same bits as the reference. Pointers are of the device; calls
// are queued on `stream` and return at once; the caller owns the stream, the memory and the
// waiting. A launch that fails gives its CUDA error.
//
//   cudaError_t error = cuda::Scale(0.5f, device_x, n, stream);
#ifndef WEFT_KERNELS_VECTOR_OPS_CUDA_H_
#define WEFT_KERNELS_VECTOR_OPS_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace weft::kernels::cuda {

cudaError_t AccumulateWeighted(double weight, const float* x, size_t n, double* sum,
                               cudaStream_t stream);
// *result (on the device): sum_i (x[i] - y[i])^2; y may be null. The eight lanes of the contract
// leave room for eight threads only: fit for checks, not for inner loops.
cudaError_t SquaredDistance(const float* x, const float* y, size_t n, double* result,
                            cudaStream_t stream);
// *result (on the device): index of the first infinity or NaN; n when all are finite.
cudaError_t FirstNotFinite(const float* x, size_t n, uint64_t* result, cudaStream_t stream);
cudaError_t Scale(float factor, float* x, size_t n, cudaStream_t stream);

}  // namespace weft::kernels::cuda

#endif  // WEFT_KERNELS_VECTOR_OPS_CUDA_H_
