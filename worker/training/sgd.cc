#include "worker/training/sgd.h"

#include "kernels/optimizer_step.h"

namespace weft {

void InnerSgd::Step(const InnerTraining& training, const InnerStep& step) {
  kernels::SgdStep options;
  options.learning_rate = static_cast<float>(step.learning_rate);
  options.rho = static_cast<float>(step.rho);
  options.gradient_scale = static_cast<float>(step.gradient_scale);
  ++steps_;
  for (const DecayRange& range : ranges_) {
    options.weight_decay = range.decayed ? static_cast<float>(training.weight_decay()) : 0.0f;
    ForEachPart(range.offset, range.size, [&](uint64_t begin, uint64_t end) {
      kernels::Sgd(options, step.gradient + begin,
                   step.base == nullptr ? nullptr : step.base + begin, end - begin, step.w + begin);
    });
  }
}

}  // namespace weft
