#include "worker/training/adamw.h"

#include "kernels/optimizer_step.h"

namespace weft {

AdamW::AdamW(const ParameterLayout& layout)
    : ranges_(DecayRanges(layout)), m_(layout.element_count()), v_(layout.element_count()) {}

void AdamW::Step(const InnerTraining& training, const InnerStep& step) {
  kernels::AdamWStep options;
  options.learning_rate = static_cast<float>(step.learning_rate);
  options.beta1 = static_cast<float>(training.beta1());
  options.beta2 = static_cast<float>(training.beta2());
  options.epsilon = static_cast<float>(training.epsilon());
  options.rho = static_cast<float>(step.rho);
  options.gradient_scale = static_cast<float>(step.gradient_scale);
  options.step = ++steps_;
  for (const DecayRange& range : ranges_) {
    options.weight_decay = range.decayed ? static_cast<float>(training.weight_decay()) : 0.0f;
    ForEachPart(range.offset, range.size, [&](uint64_t begin, uint64_t end) {
      kernels::AdamW(options, step.gradient + begin,
                     step.base == nullptr ? nullptr : step.base + begin, end - begin,
                     step.w + begin, m_.data() + begin, v_.data() + begin);
    });
  }
}

std::vector<std::pair<std::string, ParameterVector*>> AdamW::State() {
  return {{"m", &m_}, {"v", &v_}};
}

}  // namespace weft
