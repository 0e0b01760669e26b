// quantize.h on a CUDA device: the same bits as the reference. Pointers are of the device; calls
// are queued on `stream` and return at once.
//
//   cudaError_t error = cuda::EncodeDeltaBf16(x, base, n, delta, stream);
#ifndef WEFT_KERNELS_QUANTIZE_CUDA_H_
#define WEFT_KERNELS_QUANTIZE_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace weft::kernels::cuda {

cudaError_t EncodeDeltaBf16(const float* x, const float* base, size_t n, uint16_t* delta,
                            cudaStream_t stream);
cudaError_t DecodeDeltaBf16(const uint16_t* delta, const float* base, size_t n, float* x,
                            cudaStream_t stream);

}  // namespace weft::kernels::cuda

#endif  // WEFT_KERNELS_QUANTIZE_CUDA_H_
