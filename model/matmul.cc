#include "model/matmul.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>

// Exported by LibTorch (2.9 and later at least) but declared in no header of the wheel. Weak: where
// a LibTorch does not have it, its address is null and the default is taken.
namespace at::native {
__attribute__((weak)) void mkldnn_matmul(const Tensor& a, const Tensor& b, const Tensor& result,
                                         float beta, float alpha);
}  // namespace at::native

namespace weft {
namespace {

bool UseOneDnn() {
#if defined(__x86_64__)
  // What mkldnn_matmul itself requires for fp32.
  static const bool use = at::native::mkldnn_matmul != nullptr &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return use;
#else
  return false;
#endif
}

}  // namespace

void MatMul(const at::Tensor& a, const at::Tensor& b, float beta, const at::Tensor& out) {
  at::NoGradGuard no_gradients;
  if (a.device().is_cpu() && UseOneDnn()) {
    at::native::mkldnn_matmul(a, b, out, beta, 1.0f);
  } else if (beta == 0) {
    at::Tensor target = out;
    at::mm_out(target, a, b);
  } else {
    out.addmm_(a, b);
  }
}

const char* MatMulLibrary() { return UseOneDnn() ? "oneDNN" : "LibTorch's default"; }

}  // namespace weft
