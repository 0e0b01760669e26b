// What turns a gradient into a step of the flat vector. One optimizer, one file pair and a line in
// inner_optimizer.cc; its state is a set of vectors in layout order, which the checkpoint keeps by
// name.
//
// Every optimizer ends its step with the proximal pull, w = (u + lr rho z) / (1 + lr rho), in the
// same pass over memory (docs: kernels/optimizer_step.h). Thread-compatible.
//
//   std::unique_ptr<InnerOptimizer> optimizer = FindInnerOptimizer("adamw")->create(layout);
//   optimizer->Step(training, step);
#ifndef WEFT_WORKER_TRAINING_INNER_OPTIMIZER_H_
#define WEFT_WORKER_TRAINING_INNER_OPTIMIZER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/parameters/parameter_layout.h"
#include "model/parameters/parameter_vector.h"
#include "proto/run_manifest.pb.h"

namespace weft {

struct InnerStep {
  double learning_rate = 0;
  double rho = 0;             // of the pull; 0 leaves `base` unread
  double gradient_scale = 1;  // from clipping
  const float* gradient = nullptr;
  const float* base = nullptr;
  float* w = nullptr;
};

class InnerOptimizer {
 public:
  virtual ~InnerOptimizer() = default;
  virtual const char* name() const = 0;
  virtual void Step(const InnerTraining& training, const InnerStep& step) = 0;
  // The state, by name, in an order that never changes.
  virtual std::vector<std::pair<std::string, ParameterVector*>> State() = 0;

  // Steps since the state was cold.
  uint64_t steps() const { return steps_; }
  void set_steps(uint64_t steps) { steps_ = steps; }

 protected:
  uint64_t steps_ = 0;
};

struct InnerOptimizerEntry {
  absl::string_view name;
  std::unique_ptr<InnerOptimizer> (*create)(const ParameterLayout& layout);
};

// By its name in InnerTraining.optimizer; empty: adamw. Null: there is none of this name.
const InnerOptimizerEntry* FindInnerOptimizer(absl::string_view name);
std::string InnerOptimizerNames();

// Neighbouring tensors that are treated alike. Weight decay spares one-dimensional ones (norms), as
// is usual.
struct DecayRange {
  uint64_t offset = 0;
  uint64_t size = 0;
  bool decayed = false;
};
std::vector<DecayRange> DecayRanges(const ParameterLayout& layout);

// Calls `step(begin, end)` for parts of a range that threads share. For elementwise work: any
// number of threads gives the same bits.
void ForEachPart(uint64_t offset, uint64_t size,
                 const std::function<void(uint64_t begin, uint64_t end)>& step);

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_INNER_OPTIMIZER_H_
