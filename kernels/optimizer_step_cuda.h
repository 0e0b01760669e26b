// optimizer_step.h on a CUDA device: the same bits as the reference. Pointers are of the device;
// the call is queued on `stream` and returns at once.
//
//   cudaError_t error = cuda::AdamW(options, gradient, base, n, w, m, v, stream);
#ifndef WEFT_KERNELS_OPTIMIZER_STEP_CUDA_H_
#define WEFT_KERNELS_OPTIMIZER_STEP_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstddef>

#include "kernels/optimizer_step.h"

namespace weft::kernels::cuda {

cudaError_t AdamW(const AdamWStep& options, const float* gradient, const float* base, size_t n,
                  float* w, float* m, float* v, cudaStream_t stream);

}  // namespace weft::kernels::cuda

#endif  // WEFT_KERNELS_OPTIMIZER_STEP_CUDA_H_
