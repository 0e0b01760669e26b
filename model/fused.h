// The pieces of a transformer block that are not matrix products, each one step forward and one
// backward.
//
//   at::Tensor y = RmsNorm(x, weight, 1e-6);
//
// Pure; differentiable by LibTorch's autograd.
#ifndef WEFT_MODEL_FUSED_H_
#define WEFT_MODEL_FUSED_H_

#include <ATen/core/Tensor.h>

#include <optional>

namespace weft {

// x [N, in] times weight^T [in, out], plus `residual` [N, out] where that is given. The weight is
// a leaf whose gradient is there already: backward adds to it in place.
at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight,
                  const std::optional<at::Tensor>& residual = std::nullopt);

// x [N, d] / sqrt(mean(x^2) + epsilon) * weight [d], by rows (Zhang and Sennrich 2019, equation 4).
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon);

struct HeadShape {
  int64_t heads;
  int64_t kv_heads;
  double epsilon;
};

// projected [B, L, heads + 2 kv_heads, D], in the order queries, keys, values. Queries and keys are
// normalised by head (unless the weights are undefined) and then rotated by RoPE's half-split form;
// values pass.
at::Tensor NormAndRotateHeads(const at::Tensor& projected, const at::Tensor& q_norm,
                              const at::Tensor& k_norm, const at::Tensor& cosine,
                              const at::Tensor& sine, const HeadShape& shape);

// [N, 2 f] -> [N, f]: silu(first half) * second half (Shazeer 2020, equation 6).
at::Tensor SwiGlu(const at::Tensor& gate_up);

}  // namespace weft

#endif  // WEFT_MODEL_FUSED_H_
