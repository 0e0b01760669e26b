// Matrix products on the fastest library that the machine offers.
//
//   at::Tensor y = at::empty({n, m}, x.options());
//   MatMul(x, weight.t(), /*beta=*/0, y);        // y = x weight^T
//
// On CPUs with AVX-512 that is oneDNN inside LibTorch: MKL, which LibTorch's own mm takes, keeps to
// AVX2 on CPUs that are not Intel's (measured on an AMD EPYC, one thread: 260 against 112 GFLOP/s).
// Elsewhere, and on CUDA, LibTorch's mm.
#ifndef WEFT_MODEL_MATMUL_H_
#define WEFT_MODEL_MATMUL_H_

#include <ATen/core/Tensor.h>

namespace weft {

// out [n, m] = beta out + a [n, k] b [k, m]; beta is 0 or 1. `a` and `b` may be transposed views;
// `out` is contiguous. No gradient is recorded.
void MatMul(const at::Tensor& a, const at::Tensor& b, float beta, const at::Tensor& out);

// What MatMul takes on this machine's CPU: "oneDNN" or "LibTorch's default".
const char* MatMulLibrary();

}  // namespace weft

#endif  // WEFT_MODEL_MATMUL_H_
