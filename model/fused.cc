#include "model/fused.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>

#include "model/matmul.h"

namespace weft {
namespace {

at::Tensor Rotate(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor a = x.narrow(-1, 0, half), b = x.narrow(-1, half, half);
  const at::Tensor c = cosine.unsqueeze(1), s = sine.unsqueeze(1);  // [L, 1, D / 2]
  return at::cat({a * c - b * s, b * c + a * s}, -1);
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& residual) {
    context->save_for_backward({x, weight});
    context->saved_data["residual"] = residual.has_value();
    const at::Tensor y =
        residual ? residual->clone() : at::empty({x.size(0), weight.size(0)}, x.options());
    MatMul(x, weight.t(), residual ? 1 : 0, y);
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor g = gradients[0].contiguous();
    const at::Tensor x_gradient = at::empty_like(x);
    MatMul(g, weight, 0, x_gradient);
    MatMul(g.t(), x, 1, weight.grad());
    const bool residual = context->saved_data["residual"].toBool();
    return {x_gradient, at::Tensor(), residual ? g : at::Tensor()};
  }
};

}  // namespace

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight,
                  const std::optional<at::Tensor>& residual) {
  return LinearFunction::apply(x, weight, residual);
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return x * at::rsqrt((x * x).mean(-1, /*keepdim=*/true) + epsilon) * weight;
}

at::Tensor NormAndRotateHeads(const at::Tensor& projected, const at::Tensor& q_norm,
                              const at::Tensor& k_norm, const at::Tensor& cosine,
                              const at::Tensor& sine, const HeadShape& shape) {
  at::Tensor q = projected.narrow(2, 0, shape.heads);
  at::Tensor k = projected.narrow(2, shape.heads, shape.kv_heads);
  const at::Tensor v = projected.narrow(2, shape.heads + shape.kv_heads, shape.kv_heads);
  if (q_norm.defined()) {
    q = RmsNorm(q, q_norm, shape.epsilon);
    k = RmsNorm(k, k_norm, shape.epsilon);
  }
  return at::cat({Rotate(q, cosine, sine), Rotate(k, cosine, sine), v}, 2);
}

at::Tensor SwiGlu(const at::Tensor& gate_up) {
  const int64_t f = gate_up.size(-1) / 2;
  return at::silu(gate_up.narrow(-1, 0, f)) * gate_up.narrow(-1, f, f);
}

}  // namespace weft
