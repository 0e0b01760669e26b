// The last matrix product together with the loss, a block of rows at a time, so that the logits of
// a batch (rows x vocabulary, the largest tensor of a small model) are never whole in memory.
#ifndef WEFT_MODEL_LINEAR_CROSS_ENTROPY_H_
#define WEFT_MODEL_LINEAR_CROSS_ENTROPY_H_

#include <ATen/core/Tensor.h>

namespace weft {

// Mean over rows of -log softmax(hidden [N, d] head^T [d, V])[target [N]]. Sets `hidden_gradient`
// and adds to `head_gradient` [V, d].
float LinearCrossEntropy(const at::Tensor& hidden, const at::Tensor& head,
                         const at::Tensor& targets, at::Tensor* hidden_gradient,
                         at::Tensor* head_gradient);

// log softmax(hidden head^T)[target] of each row: [N].
at::Tensor LinearLogProbabilities(const at::Tensor& hidden, const at::Tensor& head,
                                  const at::Tensor& targets);

}  // namespace weft

#endif  // WEFT_MODEL_LINEAR_CROSS_ENTROPY_H_
