#include "model/linear_cross_entropy.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "kernels/block_ops.h"
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

// Adds the block's sum of -log softmax(logits)[target] to `loss`, and replaces the logits by
// `scale` times its gradient, scale (softmax - one-hot).
void ReplaceByGradient(at::Tensor& logits, const at::Tensor& target, double scale,
                       at::Tensor* loss) {
  if (!logits.device().is_cpu()) {
    const at::Tensor log_p = at::log_softmax(logits, -1);
    loss->sub_(log_p.gather(1, target).sum(at::kDouble));
    logits.copy_(log_p).exp_();
    logits.scatter_add_(1, target, at::full_like(target, -1, logits.options())).mul_(scale);
    return;
  }
  const int64_t rows = logits.size(0), width = logits.size(1), shares = at::get_num_threads();
  std::vector<double> sums(shares);
  at::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) {
      const int64_t begin = rows * s / shares, end = rows * (s + 1) / shares;
      sums[s] = kernels::CrossEntropy(logits.mutable_data_ptr<float>() + begin * width,
                                      target.const_data_ptr<int64_t>() + begin, end - begin, width,
                                      static_cast<float>(scale));
    }
  });
  for (const double sum : sums) *loss->mutable_data_ptr<double>() += sum;
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
    at::Tensor gradient = BlockLogits(x, head);
    ReplaceByGradient(gradient, target, 1.0 / static_cast<double>(rows), &loss);
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
