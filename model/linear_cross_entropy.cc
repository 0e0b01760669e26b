#include "model/linear_cross_entropy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "model/matmul.h"

namespace weft {
namespace {

// A block's logits stay in the cache of one core at small vocabularies, and keep a product large
// enough at any.
int64_t RowsPerBlock(int64_t vocabulary) {
  return std::clamp<int64_t>((int64_t{1} << 19) / vocabulary, 64, 1024);
}

at::Tensor BlockLogits(const at::Tensor& x, const at::Tensor& head) {
  at::Tensor logits = at::empty({x.size(0), head.size(0)}, x.options());
  MatMul(x, head.t(), 0, logits);
  return logits;
}

}  // namespace

float LinearCrossEntropy(const at::Tensor& hidden, const at::Tensor& head,
                         const at::Tensor& targets, at::Tensor* hidden_gradient,
                         at::Tensor* head_gradient) {
  at::NoGradGuard no_gradients;
  const int64_t rows = hidden.size(0), block = RowsPerBlock(head.size(0));
  *hidden_gradient = at::empty_like(hidden);
  at::Tensor loss = at::zeros({}, hidden.options().dtype(at::kDouble));
  for (int64_t begin = 0; begin < rows; begin += block) {
    const int64_t count = std::min(block, rows - begin);
    const at::Tensor x = hidden.narrow(0, begin, count);
    const at::Tensor target = targets.narrow(0, begin, count).unsqueeze(1);
    const at::Tensor log_p = at::log_softmax(BlockLogits(x, head), -1);
    loss.sub_(log_p.gather(1, target).sum(at::kDouble));
    at::Tensor gradient = log_p.exp_();  // (softmax - one-hot) / rows
    gradient.scatter_add_(1, target, at::full({count, 1}, -1.0f, gradient.options()));
    gradient.mul_(1.0 / static_cast<double>(rows));
    MatMul(gradient, head, 0, hidden_gradient->narrow(0, begin, count));
    MatMul(gradient.t(), x, 1, *head_gradient);
  }
  return static_cast<float>(loss.item<double>() / static_cast<double>(rows));
}

at::Tensor LinearLogProbabilities(const at::Tensor& hidden, const at::Tensor& head,
                                  const at::Tensor& targets) {
  const int64_t rows = hidden.size(0), block = RowsPerBlock(head.size(0));
  at::Tensor out = at::empty({rows}, hidden.options());
  for (int64_t begin = 0; begin < rows; begin += block) {
    const int64_t count = std::min(block, rows - begin);
    const at::Tensor logits = BlockLogits(hidden.narrow(0, begin, count), head);
    const at::Tensor target = targets.narrow(0, begin, count).unsqueeze(1);
    out.narrow(0, begin, count).copy_(at::log_softmax(logits, -1).gather(1, target).squeeze(1));
  }
  return out;
}

}  // namespace weft
