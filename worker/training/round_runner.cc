#include "worker/training/round_runner.h"

#include <algorithm>
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

double ShareNotComputing(const RoundStats& stats) {
  const double seconds = stats.seconds_waiting + stats.seconds_training;
  return seconds > 0 ? stats.seconds_waiting / seconds : 0;
}

absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const RoundOrder& order,
                                                     const WorkerOptions& options) {
  if (absl::Status status = CheckOrder(order); !status.ok()) return status;
  absl::StatusOr<TokenDataset> data = TokenDataset::Open(
      options.data, order.tokenizer_sha256(), static_cast<int>(order.training().sequence_length()));
  if (!data.ok()) return data.status();
  std::optional<TokenDataset> held_out;
  if (order.consensus().influence().validation_samples() > 0) {
    absl::StatusOr<TokenDataset> opened =
        TokenDataset::Open(options.data, order.tokenizer_sha256(),
                           static_cast<int>(order.training().sequence_length()), Split::kHeldOut);
    if (!opened.ok()) return opened.status();
    held_out = *std::move(opened);
  }
  absl::StatusOr<std::unique_ptr<Transformer>> model = Transformer::Create(order.model());
  if (!model.ok()) return model.status();
  return Trainer::Create(*std::move(model), *std::move(data), std::move(held_out));
}

absl::Status RoundRunner::Step(Trainer* trainer) {
  absl::StatusOr<StepReport> report = trainer->Step();
  if (!report.ok()) return report.status();
  if (absl::Status status = log.Append(*report); !status.ok()) return status;
  const RoundStats stats = trainer->stats();
  const bool ahead = trainer->ended();
  const uint32_t steps =
      ahead ? trainer->order().consensus().fragment_delay_steps() : trainer->order().inner_steps();
  const uint32_t steps_done = ahead ? trainer->steps_ahead() : trainer->steps_done();
  const double seconds_left =
      stats.seconds_training / std::max(trainer->steps_done(), 1u) * (steps - steps_done);
  reporter.Progress(ahead ? "trains ahead" : "training",
                    {{"round", absl::StrCat(report->round)},
                     {"step", absl::StrCat(steps_done, "/", steps)},
                     {"loss", absl::StrFormat("%.4f", report->loss)},
                     {"learning_rate", absl::StrFormat("%.3g", report->learning_rate)},
                     {"tokens_per_second", absl::StrFormat("%.0f", TokensPerSecond(stats))},
                     {"seconds_left", absl::StrFormat("%.0f", seconds_left)}},
                    steps_done == steps);
  return after_step(*report, stats);
}

absl::Status RoundRunner::Save(Trainer* trainer) {
  if (absl::Status status = log.Sync(); !status.ok()) return status;
  return trainer->SaveCheckpoint(&checkpoints);
}

absl::StatusOr<bool> RoundRunner::Run(Trainer* trainer) {
  absl::StatusOr<bool> done = StepUntil(trainer, [&] {
    // A round that ends before its base is taken would leave it to nobody.
    return trainer->ended() || trainer->round_done() ||
           (trainer->taken() && enough(trainer->steps_done()));
  });
  if (!done.ok() || !*done) return done;
  if (absl::Status status = trainer->EndRound(); !status.ok()) return status;
  if (absl::Status status = Save(trainer); !status.ok()) return status;
  return true;
}

absl::StatusOr<bool> RoundRunner::RunAhead(Trainer* trainer) {
  absl::StatusOr<bool> done = StepUntil(trainer, [&] { return !trainer->CanStepAhead(); });
  if (!done.ok() || !*done) return done;
  if (absl::Status status = Save(trainer); !status.ok()) return status;
  return true;
}

absl::StatusOr<bool> RoundRunner::StepUntil(Trainer* trainer, const std::function<bool()>& done) {
  std::optional<std::string> reason;
  const ComputeSlots slots(options.slots, options.slot_count);
  absl::StatusOr<ComputeSlot> slot = slots.Acquire([&](const std::string& waiting) {
    reporter.Waiting(waiting);
    std::this_thread::sleep_for(kSlotPoll);
    reason = end_reason();
    return reason.has_value() ? absl::CancelledError(*reason) : absl::OkStatus();
  });
  if (!slot.ok() && !reason.has_value()) return slot.status();

  // Waiting for the slot is not work that could be lost: the clock starts here.
  CheckpointCadence cadence(options.checkpoint_every_steps, options.checkpoint_every_minutes,
                            CheckpointCadence::Clock::now());
  while (!done()) {
    if (!reason.has_value()) reason = end_reason();
    if (reason.has_value()) {
      if (reason->empty()) return false;
      reporter.Info(
          *reason,
          {{"round", absl::StrCat(trainer->order().round())},
           {"step", absl::StrCat(trainer->steps_done(), "/", trainer->order().inner_steps())}});
      if (absl::Status status = Save(trainer); !status.ok()) return status;
      return false;
    }
    if (absl::Status status = Step(trainer); !status.ok()) return status;
    const uint32_t steps = trainer->ended() ? trainer->steps_ahead() : trainer->steps_done();
    if (!done() && cadence.Due(steps, CheckpointCadence::Clock::now())) {
      if (absl::Status status = Save(trainer); !status.ok()) return status;
      cadence.Saved(CheckpointCadence::Clock::now());
    }
  }
  return true;
}

}  // namespace weft
