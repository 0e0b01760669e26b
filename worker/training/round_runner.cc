#include "worker/training/round_runner.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/training/schedule.h"

namespace weft {
namespace {

constexpr auto kSlotPoll = std::chrono::milliseconds(50);

}  // namespace

double TokensPerSecond(const RoundStats& stats) {
  return stats.seconds_training > 0
             ? static_cast<double>(stats.token_count) / stats.seconds_training
             : 0;
}

absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const RoundOrder& order,
                                                     const WorkerOptions& options) {
  if (absl::Status status = CheckOrder(order); !status.ok()) return status;
  absl::StatusOr<TokenDataset> data = TokenDataset::Open(
      options.data, order.tokenizer_sha256(), static_cast<int>(order.training().sequence_length()));
  if (!data.ok()) return data.status();
  absl::StatusOr<std::unique_ptr<Transformer>> model = Transformer::Create(order.model());
  if (!model.ok()) return model.status();
  return Trainer::Create(*std::move(model), *std::move(data));
}

absl::Status RoundRunner::Step(Trainer* trainer) {
  absl::StatusOr<StepReport> report = trainer->Step();
  if (!report.ok()) return report.status();
  if (absl::Status status = log.Append(*report); !status.ok()) return status;
  const RoundStats stats = trainer->stats();
  const uint32_t steps = trainer->order().inner_steps();
  const double seconds_left =
      stats.seconds_training / trainer->steps_done() * (steps - trainer->steps_done());
  reporter.Progress("training",
                    {{"round", absl::StrCat(report->round)},
                     {"step", absl::StrCat(trainer->steps_done(), "/", steps)},
                     {"loss", absl::StrFormat("%.4f", report->loss)},
                     {"learning_rate", absl::StrFormat("%.3g", report->learning_rate)},
                     {"tokens_per_second", absl::StrFormat("%.0f", TokensPerSecond(stats))},
                     {"seconds_left", absl::StrFormat("%.0f", seconds_left)}},
                    trainer->round_done());
  return after_step(*report, stats);
}

absl::StatusOr<bool> RoundRunner::Run(Trainer* trainer) {
  const auto save = [&]() -> absl::Status {
    if (absl::Status status = log.Sync(); !status.ok()) return status;
    return trainer->SaveCheckpoint(&checkpoints);
  };
  std::optional<std::string> reason;
  const ComputeSlots slots(options.slots, options.slot_count);
  absl::StatusOr<ComputeSlot> slot = slots.Acquire([&](const std::string& waiting) {
    reporter.Waiting(waiting);
    std::this_thread::sleep_for(kSlotPoll);
    reason = end_reason();
    return reason.has_value() ? absl::CancelledError(*reason) : absl::OkStatus();
  });
  if (!slot.ok() && !reason.has_value()) return slot.status();

  const auto done = [&] { return trainer->round_done() || enough(trainer->steps_done()); };
  // Waiting for the slot is not work that could be lost: the clock starts here.
  CheckpointCadence cadence(options.checkpoint_every_steps, options.checkpoint_every_minutes,
                            CheckpointCadence::Clock::now());
  while (!done()) {
    if (!reason.has_value()) reason = end_reason();
    if (reason.has_value()) {
      reporter.Info(
          *reason,
          {{"round", absl::StrCat(trainer->order().round())},
           {"step", absl::StrCat(trainer->steps_done(), "/", trainer->order().inner_steps())}});
      if (absl::Status status = save(); !status.ok()) return status;
      return false;
    }
    if (absl::Status status = Step(trainer); !status.ok()) return status;
    if (!trainer->round_done() &&
        cadence.Due(trainer->steps_done(), CheckpointCadence::Clock::now())) {
      if (absl::Status status = save(); !status.ok()) return status;
      cadence.Saved(CheckpointCadence::Clock::now());
    }
  }
  if (absl::Status status = save(); !status.ok()) return status;
  return true;
}

}  // namespace weft
