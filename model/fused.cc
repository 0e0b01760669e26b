#include "model/fused.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "kernels/block_ops.h"
#include "model/matmul.h"

namespace weft {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

const float* In(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}
float* Out(const at::Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }

// f(share, begin, end) for an equal share of the rows on each thread. The shares depend on the
// number of threads alone, so a fixed number of threads repeats its bits.
template <class F>
void ForEachShare(int64_t rows, const F& f) {
  const int64_t shares = at::get_num_threads();
  at::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) f(s, rows * s / shares, rows * (s + 1) / shares);
  });
}

// As above with f(begin, end, sums), where each share adds up `width` sums of its own; adds all of
// them to `total`.
template <class F>
void ForEachShareWithSums(int64_t rows, int64_t width, float* total, const F& f) {
  std::vector<float> sums(at::get_num_threads() * width);
  ForEachShare(rows, [&](int64_t share, int64_t begin, int64_t end) {
    f(begin, end, sums.data() + share * width);
  });
  for (size_t i = 0; i < sums.size(); ++i) total[i % width] += sums[i];
}

struct LinearFunction : Function<LinearFunction> {
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

struct RmsNormFunction : Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    const int64_t rows = x.size(0), width = x.size(1);
    const at::Tensor y = at::empty_like(x), inverse = at::empty({rows}, x.options());
    ForEachShare(rows, [&](int64_t, int64_t begin, int64_t end) {
      kernels::RmsNorm(In(x) + begin * width, In(weight), end - begin, width,
                       static_cast<float>(epsilon), Out(y) + begin * width, Out(inverse) + begin);
    });
    context->save_for_backward({x, weight, inverse});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const at::Tensor g = gradients[0].contiguous(), dx = at::empty_like(x);
    const int64_t rows = x.size(0), width = x.size(1);
    ForEachShareWithSums(
        rows, width, Out(weight.grad()), [&](int64_t begin, int64_t end, float* sums) {
          kernels::RmsNormBackward(In(x) + begin * width, In(weight), In(inverse) + begin,
                                   In(g) + begin * width, end - begin, width,
                                   Out(dx) + begin * width, sums);
        });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

kernels::HeadLayout KernelLayout(const HeadShape& shape, int64_t width) {
  return {.query_heads = static_cast<size_t>(shape.heads),
          .key_heads = static_cast<size_t>(shape.kv_heads),
          .width = static_cast<size_t>(width),
          .epsilon = static_cast<float>(shape.epsilon)};
}

// Rows of x are those of a batch, so token t of the flat array has position t modulo the length. A
// share is a range of whole sequences.
struct HeadsFunction : Function<HeadsFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& q_norm,
                            const std::optional<at::Tensor>& k_norm, const at::Tensor& cosine,
                            const at::Tensor& sine, int64_t heads, int64_t kv_heads,
                            double epsilon) {
    const HeadShape shape{heads, kv_heads, epsilon};
    const kernels::HeadLayout layout = KernelLayout(shape, x.size(3));
    const int64_t length = x.size(1), row = length * x.size(2) * x.size(3);
    const int64_t inverses = length * static_cast<int64_t>(layout.rotated());
    const at::Tensor y = at::empty_like(x), q = q_norm.value_or(at::Tensor()),
                     k = k_norm.value_or(at::Tensor());
    const at::Tensor inverse = at::empty({x.size(0), inverses}, x.options());
    ForEachShare(x.size(0), [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        kernels::NormAndRotate(In(x) + b * row, In(q), In(k), In(cosine), In(sine), length, layout,
                               Out(y) + b * row, Out(inverse) + b * inverses);
      }
    });
    context->save_for_backward({x, q, k, cosine, sine, inverse});
    context->saved_data["heads"] = heads;
    context->saved_data["kv_heads"] = kv_heads;
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &q = saved[1], &k = saved[2], &inverse = saved[5];
    const at::Tensor g = gradients[0].contiguous(), dx = at::empty_like(x);
    const HeadShape shape{context->saved_data["heads"].toInt(),
                          context->saved_data["kv_heads"].toInt(), 0};
    const kernels::HeadLayout layout = KernelLayout(shape, x.size(3));
    const int64_t length = x.size(1), width = x.size(3), row = length * x.size(2) * width;
    std::vector<float> sums(2 * width);
    ForEachShareWithSums(
        x.size(0), 2 * width, sums.data(), [&](int64_t begin, int64_t end, float* own) {
          for (int64_t b = begin; b < end; ++b) {
            kernels::NormAndRotateBackward(
                In(x) + b * row, In(q), In(k), In(inverse) + b * inverse.size(1), In(saved[3]),
                In(saved[4]), In(g) + b * row, length, layout, Out(dx) + b * row, own, own + width);
          }
        });
    if (q.defined()) {
      for (int64_t i = 0; i < width; ++i) {
        Out(q.grad())[i] += sums[i];
        Out(k.grad())[i] += sums[width + i];
      }
    }
    return {dx, {}, {}, {}, {}, {}, {}, {}};
  }
};

struct SwiGluFunction : Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up) {
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    const at::Tensor y = at::empty({rows, width}, gate_up.options());
    ForEachShare(rows, [&](int64_t, int64_t begin, int64_t end) {
      kernels::SwiGlu(In(gate_up) + begin * 2 * width, end - begin, width, Out(y) + begin * width);
    });
    context->save_for_backward({gate_up});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor gate_up = context->get_saved_variables()[0];
    const at::Tensor g = gradients[0].contiguous(), d = at::empty_like(gate_up);
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    ForEachShare(rows, [&](int64_t, int64_t begin, int64_t end) {
      kernels::SwiGluBackward(In(gate_up) + begin * 2 * width, In(g) + begin * width, end - begin,
                              width, Out(d) + begin * 2 * width);
    });
    return {d};
  }
};

at::Tensor PlainRmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return x * at::rsqrt((x * x).mean(-1, /*keepdim=*/true) + epsilon) * weight;
}

at::Tensor PlainRotate(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor a = x.narrow(-1, 0, half), b = x.narrow(-1, half, half);
  const at::Tensor c = cosine.unsqueeze(1), s = sine.unsqueeze(1);  // [L, 1, D / 2]
  return at::cat({a * c - b * s, b * c + a * s}, -1);
}

at::Tensor PlainNormAndRotate(const at::Tensor& projected, const at::Tensor& q_norm,
                              const at::Tensor& k_norm, const at::Tensor& cosine,
                              const at::Tensor& sine, const HeadShape& shape) {
  at::Tensor q = projected.narrow(2, 0, shape.heads);
  at::Tensor k = projected.narrow(2, shape.heads, shape.kv_heads);
  const at::Tensor v = projected.narrow(2, shape.heads + shape.kv_heads, shape.kv_heads);
  if (q_norm.defined()) {
    q = PlainRmsNorm(q, q_norm, shape.epsilon);
    k = PlainRmsNorm(k, k_norm, shape.epsilon);
  }
  return at::cat({PlainRotate(q, cosine, sine), PlainRotate(k, cosine, sine), v}, 2);
}

}  // namespace

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight,
                  const std::optional<at::Tensor>& residual) {
  return LinearFunction::apply(x, weight, residual);
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return x.device().is_cpu() ? RmsNormFunction::apply(x, weight, epsilon)
                             : PlainRmsNorm(x, weight, epsilon);
}

at::Tensor NormAndRotateHeads(const at::Tensor& projected, const at::Tensor& q_norm,
                              const at::Tensor& k_norm, const at::Tensor& cosine,
                              const at::Tensor& sine, const HeadShape& shape) {
  if (!projected.device().is_cpu()) {
    return PlainNormAndRotate(projected, q_norm, k_norm, cosine, sine, shape);
  }
  const auto given = [](const at::Tensor& t) {
    return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
  };
  return HeadsFunction::apply(projected, given(q_norm), given(k_norm), cosine, sine, shape.heads,
                              shape.kv_heads, shape.epsilon);
}

at::Tensor SwiGlu(const at::Tensor& gate_up) {
  if (gate_up.device().is_cpu()) return SwiGluFunction::apply(gate_up);
  const int64_t f = gate_up.size(-1) / 2;
  return at::silu(gate_up.narrow(-1, 0, f)) * gate_up.narrow(-1, f, f);
}

}  // namespace weft
