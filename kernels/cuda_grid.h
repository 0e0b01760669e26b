// How the CUDA kernels of this folder are launched: a grid that fills the device, each thread
// walking the array in steps of the whole grid. Included by .cu files only.
//
//   for (size_t i = FirstElement(); i < n; i += ElementStride()) x[i] *= factor;
//   Kernel<<<Blocks(n), kThreads, 0, stream>>>(...);
#ifndef WEFT_KERNELS_CUDA_GRID_H_
#define WEFT_KERNELS_CUDA_GRID_H_

#include <algorithm>
#include <cstddef>

namespace weft::kernels::cuda {

inline constexpr int kThreads = 256;
// Enough blocks for every device of today (132 to 160 multiprocessors, 8 blocks each).
inline constexpr size_t kBlocksMax = 2048;

inline int Blocks(size_t n) {
  return static_cast<int>(std::clamp<size_t>((n + kThreads - 1) / kThreads, 1, kBlocksMax));
}

__device__ inline size_t FirstElement() {
  return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline size_t ElementStride() { return static_cast<size_t>(gridDim.x) * blockDim.x; }

}  // namespace weft::kernels::cuda

#endif  // WEFT_KERNELS_CUDA_GRID_H_
