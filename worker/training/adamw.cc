#include "worker/training/adamw.h"

#include <ATen/Parallel.h>

#include "kernels/optimizer_step.h"

namespace weft {
namespace {

// Elements for which another thread pays: about a millisecond of memory traffic.
constexpr int64_t kShareMin = int64_t{1} << 18;

}  // namespace

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
    // Elements do not depend on each other: any number of threads gives the same bits.
    at::parallel_for(
        0, static_cast<int64_t>(range.size), kShareMin, [&](int64_t begin, int64_t end) {
          const uint64_t i = range.offset + begin;
          kernels::AdamW(options, step.gradient + i, step.base == nullptr ? nullptr : step.base + i,
                         end - begin, step.w + i, m_.data() + i, v_.data() + i);
        });
  }
}

std::vector<std::pair<std::string, ParameterVector*>> AdamW::State() {
  return {{"m", &m_}, {"v", &v_}};
}

}  // namespace weft
