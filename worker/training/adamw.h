// AdamW (Loshchilov and Hutter 2019) over the flat vector. Weight decay spares one-dimensional
// tensors (norms), as is usual; the step is kernels::AdamW, called once for each run of
// neighbouring tensors that are treated alike.
#ifndef WEFT_WORKER_TRAINING_ADAMW_H_
#define WEFT_WORKER_TRAINING_ADAMW_H_

#include <string>
#include <utility>
#include <vector>

#include "model/parameters/parameter_layout.h"
#include "worker/training/inner_optimizer.h"

namespace weft {

class AdamW : public InnerOptimizer {
 public:
  explicit AdamW(const ParameterLayout& layout);
  const char* name() const override { return "adamw"; }
  void Step(const InnerTraining& training, const InnerStep& step) override;
  std::vector<std::pair<std::string, ParameterVector*>> State() override;

 private:
  std::vector<DecayRange> ranges_;
  ParameterVector m_;
  ParameterVector v_;
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_ADAMW_H_
