// Plain SGD over the flat vector: no momentum, and so no state. Weight decay spares one-dimensional
// tensors, as in AdamW; the step is kernels::Sgd.
#ifndef WEFT_WORKER_TRAINING_SGD_H_
#define WEFT_WORKER_TRAINING_SGD_H_

#include <string>
#include <utility>
#include <vector>

#include "worker/training/inner_optimizer.h"

namespace weft {

class InnerSgd : public InnerOptimizer {
 public:
  explicit InnerSgd(const ParameterLayout& layout) : ranges_(DecayRanges(layout)) {}
  const char* name() const override { return "sgd"; }
  void Step(const InnerTraining& training, const InnerStep& step) override;
  std::vector<std::pair<std::string, ParameterVector*>> State() override { return {}; }

 private:
  std::vector<DecayRange> ranges_;
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_SGD_H_
