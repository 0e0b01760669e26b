// Takes a trainer through the steps of its round, with all that surrounds a step: a compute slot,
// the training log, checkpoints, progress, and a look at every step whether to end. The same for a
// site with a gate and for an island.
#ifndef WEFT_WORKER_TRAINING_ROUND_RUNNER_H_
#define WEFT_WORKER_TRAINING_ROUND_RUNNER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

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
  uint32_t checkpoint_every_steps = 50;  // 0: only where a round ends
  std::function<bool()> interrupted = [] { return false; };
};

struct RoundRunner {
  const WorkerOptions& options;
  Reporter& reporter;
  TrainingLog& log;
  CheckpointFolder& checkpoints;
  // Why to end before the round is done; none: go on. Called before every step.
  std::function<std::optional<std::string>()> end_reason;
  // Whether so many steps will do, though the order names more. Called before every step.
  std::function<bool(uint32_t steps_done)> enough;
  // After every step.
  std::function<absl::Status(const StepReport&, const RoundStats&)> after_step;

  // Steps until the round is done (true) or there is a reason to end (false, after saying it);
  // saves a checkpoint either way.
  absl::StatusOr<bool> Run(Trainer* trainer);

 private:
  absl::Status Step(Trainer* trainer);
};

// Model and data of an order, as a trainer with nothing in it.
absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const RoundOrder& order,
                                                     const WorkerOptions& options);

double TokensPerSecond(const RoundStats& stats);

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_ROUND_RUNNER_H_
