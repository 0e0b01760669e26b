// Takes a trainer through the steps of its round, with all that surrounds a step: a compute slot,
// the training log, checkpoints, progress, and a look at every step whether to end. The same for a
// site with a gate and for an island.
#ifndef WEFT_WORKER_TRAINING_ROUND_RUNNER_H_
#define WEFT_WORKER_TRAINING_ROUND_RUNNER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <ratio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/training/checkpoint.h"
#include "worker/training/compute_slots.h"
#include "worker/training/reporter.h"
#include "worker/training/trainer.h"
#include "worker/training/training_log.h"

namespace weft {

// What `weft-worker run` and `weft-worker island` have in common.
struct WorkerOptions {
  std::vector<std::string> data;  // folders of token shards
  std::string slots;              // folder of compute slots; empty: none
  int slot_count = 0;
  // Within a round, whichever comes first; 0: not by this. Both 0: only where a round ends.
  uint32_t checkpoint_every_steps = 50;
  double checkpoint_every_minutes = 10;
  std::function<bool()> interrupted = [] { return false; };
};

// When the next checkpoint within a round is due: so many steps or so much time after the last one,
// whichever comes first. Steps bound the work that a crash costs on a fast machine, minutes on a
// slow one. Steps count from the round's first, so that a resumed round saves at the same ones.
class CheckpointCadence {
 public:
  using Clock = std::chrono::steady_clock;
  CheckpointCadence(uint32_t every_steps, double every_minutes, Clock::time_point now)
      : every_steps_(every_steps),
        every_(std::chrono::duration<double, std::ratio<60>>(every_minutes)),
        saved_(now) {}

  bool Due(uint32_t steps_done, Clock::time_point now) const {
    return (every_steps_ > 0 && steps_done % every_steps_ == 0) ||
           (every_.count() > 0 && now - saved_ >= every_);
  }
  void Saved(Clock::time_point now) { saved_ = now; }

 private:
  uint32_t every_steps_;
  std::chrono::duration<double, std::ratio<60>> every_;
  Clock::time_point saved_;
};

struct RoundRunner {
  const WorkerOptions& options;
  Reporter& reporter;
  TrainingLog& log;
  CheckpointFolder& checkpoints;
  // Why to end before the steps are done; none: go on. Called before every step. Empty where there
  // is nothing to say and nothing to save: the next order is there.
  std::function<std::optional<std::string>()> end_reason;
  // Whether so many steps will do, though the order names more. Called before every step.
  std::function<bool(uint32_t steps_done)> enough;
  // After every step.
  std::function<absl::Status(const StepReport&, const RoundStats&)> after_step;

  // Steps until the round is done, and ends it (true), or there is a reason to stop (false, after
  // saying it); saves a checkpoint either way.
  absl::StatusOr<bool> Run(Trainer* trainer);
  // The same for the steps that may be done before the next order is there.
  absl::StatusOr<bool> RunAhead(Trainer* trainer);

 private:
  // Steps until `done`, or there is a reason to stop (false). Saves a checkpoint if there is.
  absl::StatusOr<bool> StepUntil(Trainer* trainer, const std::function<bool()>& done);
  absl::Status Step(Trainer* trainer);
  absl::Status Save(Trainer* trainer);
};

// Model and data of an order, as a trainer with nothing in it.
absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const RoundOrder& order,
                                                     const WorkerOptions& options);

double TokensPerSecond(const RoundStats& stats);
// Of the time from the end of the round before: what went by with no order to work on.
double ShareNotComputing(const RoundStats& stats);

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_ROUND_RUNNER_H_
