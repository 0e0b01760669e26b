// The training loop of a site: inner steps from a base, one order after the other.
//
// For each inner step: read the samples that the site's clock names, loss and gradients
// (model/transformer.h), clip, one pass of the optimizer with the pull. Parameters, gradients and
// optimizer state are flat vectors. The optimizer's state persists over rounds. Everything that
// decides a number is in the order, the data and the checkpoint: on one machine with one thread, a
// trainer that was killed and resumed gives the same losses bit for bit.
//
//   auto trainer = Trainer::Create(std::move(model), std::move(data));
//   auto stats = trainer->Round(order, {.base = std::move(z)});   // or BeginRound, then Step until
//   site.WriteVector(layout.digest(), trainer->vector());         // round_done(), then EndRound
//
// An order is its base vectors and its messages, no files: whole federations fit into one process.
//
// Where a scheme has a delay (Streaming DiLoCo), a site trains on while a round is aggregated:
// after EndRound it may do up to fragment_delay_steps steps of the next order before that is there
// (CanStepAhead). The next order counts them as its first steps if it begins where this one ended,
// and its base is taken at the same step, whenever it came: the result does not depend on that.
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
#include "worker/training/base_mixer.h"
#include "worker/training/batch.h"
#include "worker/training/checkpoint.h"
#include "worker/training/inner_optimizer.h"

namespace weft {

struct StepReport {
  uint64_t round = 0;       // of a step ahead: the one after the order's
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
  double seconds_waiting = 0;
  // On held-out text, where the order asks: when the base was taken, and when the round ended.
  double validation_before = 0;
  double validation_after = 0;
};

class Trainer {
 public:
  // Requires a model on the CPU. `held_out` is for orders that ask for validation.
  static std::unique_ptr<Trainer> Create(std::unique_ptr<Transformer> model, TokenDataset data,
                                         std::optional<TokenDataset> held_out = std::nullopt);

  // Starts an order. The first base is assigned; later ones are mixed in as the scheme says
  // (base_mixer.h). InvalidArgument when the order does not fit the model or the data. Requires
  // bases of the layout: those of WantedFragments, and the anchor where the order names one.
  absl::Status BeginRound(const RoundOrder& order, Bases bases);
  // Which fragments (0: the whole vector) BeginRound needs.
  std::vector<uint32_t> WantedFragments(const RoundOrder& order) const {
    return mixer_.Wanted(order);
  }
  // One inner step. Requires a round that is begun and neither done nor ended, or CanStepAhead().
  // OutOfRange when the loss or the gradients are no longer finite, DataLoss when a token is not in
  // the vocabulary; the vector is then as it was before the step.
  absl::StatusOr<StepReport> Step();
  // Ends the round with the steps that are done: what its result says is then in stats(). Ending it
  // again changes nothing. Requires taken().
  absl::Status EndRound();
  // Begins a round, does all its steps and ends it.
  absl::StatusOr<RoundStats> Round(const RoundOrder& order, Bases bases);

  // Whether a step of the next order may be done before that order is there. None comes after the
  // run's last step.
  bool CanStepAhead() const {
    return ended_ && ahead_losses_.size() < order_.consensus().fragment_delay_steps() &&
           next_clock_step() < order_.total_steps();
  }

  bool round_done() const { return steps_done_ == order_.inner_steps(); }
  bool ended() const { return ended_; }
  // What the order brings has been taken into the vector.
  bool taken() const { return mixer_.taken(); }
  uint32_t steps_done() const { return steps_done_; }
  uint32_t steps_ahead() const { return static_cast<uint32_t>(ahead_losses_.size()); }
  // Where the training log goes on: of the next step.
  uint64_t next_round() const { return order_.round() + (ended_ ? 1 : 0); }
  uint64_t next_clock_step() const { return order_.first_step() + next_step(); }
  const RoundOrder& order() const { return order_; }
  RoundStats stats() const;
  absl::Span<const float> vector() const;
  // The part of it that the order is of: a fragment, or all.
  absl::Span<const float> result() const;
  const ParameterLayout& layout() const { return model_->layout(); }
  // Of the round that has begun, for its result.
  void set_seconds_waiting(double seconds) { seconds_waiting_ = seconds; }

  absl::Status SaveCheckpoint(CheckpointFolder* folder);
  // Goes on where a checkpoint stands. `bases` are those of its order (needed only while steps of
  // the order are left to do). Requires a fresh trainer. InvalidArgument when the checkpoint is of
  // another model or optimizer. `warning` is set when the data are not those that the checkpoint
  // was made with.
  absl::Status Resume(Checkpoint checkpoint, Bases bases, std::string* warning);

 private:
  Trainer(std::unique_ptr<Transformer> model, TokenDataset data,
          std::optional<TokenDataset> held_out);
  // Whether the model, the data and this code can do the order.
  absl::Status CheckFits(const RoundOrder& order) const;
  // Whether the steps ahead are the order's first ones.
  bool Continues(const RoundOrder& order) const;
  // Sets what the steps of an order need. Requires one that fits.
  void TakeOrder(const RoundOrder& order);
  // Measures on held-out text, where the order asks.
  absl::Status Validate(double* loss);
  void Count(double loss);
  absl::Status ReadBatch();
  // Of the order's clock.
  uint64_t next_step() const {
    return ended_ ? order_.inner_steps() + ahead_losses_.size() : steps_done_;
  }
  uint64_t next_sample_step() const { return order_.first_sample_step() + next_step(); }
  uint32_t tenth() const { return (order_.inner_steps() + 9) / 10; }
  absl::Span<float> w() { return {model_->parameters(), layout().element_count()}; }

  std::unique_ptr<Transformer> model_;
  TokenDataset data_;
  std::optional<TokenDataset> held_out_;
  std::unique_ptr<InnerOptimizer> optimizer_;  // from the first order on
  BaseMixer mixer_;

  RoundOrder order_;  // inner_steps 0: none yet
  std::optional<SampleOrder> samples_;
  uint32_t steps_done_ = 0;
  bool ended_ = false;
  std::vector<float> ahead_losses_;  // of the steps that are done ahead
  double ahead_seconds_ = 0;
  uint64_t cold_step_ = 0;  // the step clock when the optimizer's state was cold
  double first_loss_sum_ = 0;
  double last_loss_sum_ = 0;
  double newest_loss_ = 0;
  double seconds_training_ = 0;
  double seconds_waiting_ = 0;
  double validation_before_ = 0;
  double validation_after_ = 0;

  SampleBatch batch_;
  std::vector<uint64_t> sample_numbers_;
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_TRAINER_H_
