#include "worker/training/adamw.h"

#include "kernels/optimizer_step.h"

namespace weft {

AdamW::AdamW(const ParameterLayout& layout)
    : m_(layout.element_count()), v_(layout.element_count()) {
  for (const TensorSpec& tensor : layout.tensors()) {
    const bool decayed = tensor.shape.size() > 1;
    if (!ranges_.empty() && ranges_.back().decayed == decayed) {
      ranges_.back().size += tensor.size;
    } else {
      ranges_.push_back({tensor.offset, tensor.size, decayed});
    }
  }
}

void AdamW::Step(const InnerTraining& training, const InnerStep& step) {
  kernels::AdamWStep options;
  options.learning_rate = static_cast<float>(step.learning_rate);
  options.beta1 = static_cast<float>(training.beta1());
  options.beta2 = static_cast<float>(training.beta2());
  options.epsilon = static_cast<float>(training.epsilon());
  options.rho = static_cast<float>(step.rho);
  options.gradient_scale = static_cast<float>(step.gradient_scale);
  options.step = ++steps_;
  for (const Range& range : ranges_) {
    options.weight_decay = range.decayed ? static_cast<float>(training.weight_decay()) : 0.0f;
    const float* base = step.base == nullptr ? nullptr : step.base + range.offset;
    kernels::AdamW(options, step.gradient + range.offset, base, range.size, step.w + range.offset,
                   m_.data() + range.offset, v_.data() + range.offset);
  }
}

std::vector<std::pair<std::string, ParameterVector*>> AdamW::State() {
  return {{"m", &m_}, {"v", &v_}};
}

}  // namespace weft
