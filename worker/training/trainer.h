// The training loop of a site: inner steps from a base, one order after the other.
//
// For each inner step: read the samples that the step clock names, loss and gradients
// (model/transformer.h), clip, one pass of the optimizer with the pull towards the base.
// Parameters, gradients and optimizer state are flat vectors. The optimizer's state persists over
// rounds. Everything that decides a number is in the order, the data and the checkpoint: on one
// machine with one thread, a trainer that was killed and resumed gives the same losses bit for bit.
//
//   auto trainer = Trainer::Create(std::move(model), std::move(data));
//   auto stats = trainer->Round(order, std::move(base));      // or BeginRound, then Step until
//   round_done() site.WriteVector(trainer->layout().digest(), trainer->vector());
//
// Belongs to one thread.
#ifndef WEFT_WORKER_TRAINING_TRAINER_H_
#define WEFT_WORKER_TRAINING_TRAINER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_vector.h"
#include "model/transformer.h"
#include "proto/site.pb.h"
#include "tokenizer/sample_order.h"
#include "tokenizer/token_shard_reader.h"
#include "worker/training/checkpoint.h"
#include "worker/training/inner_optimizer.h"

namespace weft {

struct StepReport {
  uint64_t round = 0;
  uint64_t clock_step = 0;  // of the run
  float loss = 0;           // nats per token, before the step
  double learning_rate = 0;
  double gradient_norm = 0;  // before clipping
  double seconds_gradients = 0;
  double seconds_optimizer = 0;
};

struct RoundStats {
  uint32_t inner_steps = 0;
  uint64_t token_count = 0;
  double first_loss = 0;  // mean over the first tenth of the round's steps
  double last_loss = 0;   // over the last tenth; of the newest step in a round that ended before it
  double seconds_training = 0;
};

class Trainer {
 public:
  // Requires a model on the CPU.
  static std::unique_ptr<Trainer> Create(std::unique_ptr<Transformer> model, TokenDataset data);

  // Starts an order from its base. The first base is assigned; later ones are mixed in: w = w +
  // alpha (z - w), where alpha 1 assigns. InvalidArgument when the order does not fit the model or
  // the data. Requires a base of the layout.
  absl::Status BeginRound(const RoundOrder& order, ParameterVector base);
  // One inner step. Requires a round that is begun and not done. OutOfRange when the loss or the
  // gradients are no longer finite, DataLoss when a token is not in the vocabulary; the vector is
  // then as it was before the step.
  absl::StatusOr<StepReport> Step();
  // Begins a round and does all its steps.
  absl::StatusOr<RoundStats> Round(const RoundOrder& order, ParameterVector base);

  bool round_done() const { return steps_done_ == order_.inner_steps(); }
  uint32_t steps_done() const { return steps_done_; }
  const RoundOrder& order() const { return order_; }
  RoundStats stats() const;
  absl::Span<const float> vector() const;
  const ParameterLayout& layout() const { return model_->layout(); }

  absl::Status SaveCheckpoint(CheckpointFolder* folder);
  // Goes on where a checkpoint stands. `base` is that of its order (needed only while the round is
  // not done). Requires a fresh trainer. InvalidArgument when the checkpoint is of another model or
  // optimizer. `warning` is set when the data are not those that the checkpoint was made with.
  absl::Status Resume(Checkpoint checkpoint, ParameterVector base, std::string* warning);

 private:
  Trainer(std::unique_ptr<Transformer> model, TokenDataset data);
  // Whether the model, the data and this code can do the order.
  absl::Status CheckFits(const RoundOrder& order) const;
  // Sets what the steps of an order need. Requires one that fits.
  void TakeOrder(const RoundOrder& order, ParameterVector base);
  absl::Status ReadBatch(uint64_t clock_step);
  uint64_t clock_step() const { return order_.first_step() + steps_done_; }
  uint32_t tenth() const { return (order_.inner_steps() + 9) / 10; }

  std::unique_ptr<Transformer> model_;
  TokenDataset data_;
  std::unique_ptr<InnerOptimizer> optimizer_;

  RoundOrder order_;  // inner_steps 0: none yet
  double rho_ = 0;
  ParameterVector base_;  // empty when there is no pull
  std::optional<SampleOrder> samples_;
  uint32_t steps_done_ = 0;
  uint64_t cold_step_ = 0;  // the step clock when the optimizer's state was cold
  double first_loss_sum_ = 0;
  double last_loss_sum_ = 0;
  double newest_loss_ = 0;
  double seconds_training_ = 0;

  std::vector<int32_t> sample_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> targets_;
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_TRAINER_H_
