#include "worker/training/site_worker.h"

#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/digest.h"
#include "proto/round_schedule.h"
#include "worker/training/order_bases.h"
#include "worker/training/schedule.h"

namespace weft {
namespace {

// How often the files of the site directory are looked at: orders come minutes apart.
constexpr auto kPoll = std::chrono::milliseconds(100);
constexpr auto kProgressEvery = std::chrono::seconds(2);
// A shared file system may show the order some time before the base that was written earlier.
constexpr auto kBaseWaitMax = std::chrono::seconds(120);

}  // namespace

absl::Status SiteWorker::Prepare() {
  absl::StatusOr<SiteDirectory> site = SiteDirectory::Open(site_directory_);
  if (!site.ok()) return site.status();
  site_ = std::make_unique<SiteDirectory>(*std::move(site));
  // A gate takes the lock for an instant, to see whether a worker has it: one that has it stays.
  absl::StatusOr<std::unique_ptr<WorkerLock>> lock = site_->AcquireWorkerLock();
  for (int again = 0; absl::IsAlreadyExists(lock.status()) && again < 3; ++again) {
    std::this_thread::sleep_for(kPoll);
    lock = site_->AcquireWorkerLock();
  }
  if (!lock.ok()) return lock.status();
  lock_ = *std::move(lock);
  absl::StatusOr<TrainingLog> log = TrainingLog::Open(site_->training_log());
  if (!log.ok()) return log.status();
  log_ = std::make_unique<TrainingLog>(*std::move(log));
  absl::StatusOr<CheckpointFolder> checkpoints = CheckpointFolder::Open(site_->checkpoint_folder());
  if (!checkpoints.ok()) return checkpoints.status();
  checkpoints_ = std::make_unique<CheckpointFolder>(*std::move(checkpoints));
  std::vector<std::string> warnings;
  absl::StatusOr<std::optional<Checkpoint>> checkpoint = checkpoints_->LoadNewest(&warnings);
  for (const std::string& warning : warnings) reporter_.Warning(warning);
  if (!checkpoint.ok()) return checkpoint.status();
  checkpoint_ = *std::move(checkpoint);
  return absl::OkStatus();
}

absl::Status SiteWorker::Run() {
  if (absl::Status status = Prepare(); !status.ok()) return status;
  const absl::Status status = ServeOrders();
  if (!status.ok()) {
    WorkerProgress progress;
    progress.set_state(absl::StrCat("failed: ", status.message()));
    (void)site_->WriteProgress(progress);  // the status is what counts
  }
  return status;
}

absl::Status SiteWorker::ServeOrders() {
  WorkerProgress progress;
  progress.set_state("waiting");
  if (absl::Status status = site_->WriteProgress(progress); !status.ok()) return status;
  while (true) {
    if (options_.interrupted()) {
      reporter_.Info("ends: asked to by a signal; a new start goes on from here");
      return absl::OkStatus();
    }
    if (const std::optional<std::string> reason = site_->StopReason()) {
      reporter_.Info("ends: the gate says stop", {{"reason", *reason}});
      return absl::OkStatus();
    }
    absl::StatusOr<std::optional<RoundOrder>> order = NextOrder();
    if (!order.ok()) return order.status();
    if (order->has_value()) {
      if (absl::Status status = Do(**order); !status.ok()) return status;
    }
  }
}

absl::StatusOr<std::optional<RoundOrder>> SiteWorker::NextOrder() {
  absl::StatusOr<std::optional<RoundOrder>> order = site_->NewestOrder();
  if (!order.ok()) return order.status();
  if (!order->has_value()) {
    Wait(absl::StrCat("waiting for the gate's first order in ", site_directory_, "/orders"));
    return std::nullopt;
  }
  absl::StatusOr<std::optional<RoundResult>> result = site_->ResultOf((*order)->round());
  if (!result.ok()) return result.status();
  if (result->has_value() && (*result)->run_id() == (*order)->run_id() &&
      (*result)->base_digest() == (*order)->base_digest()) {
    if (absl::Status status = TrainAhead(**order); !status.ok()) return status;
    if (!idle_since_.has_value()) idle_since_ = Clock::now();
    Wait(absl::StrCat("round ", (*order)->round(),
                      " is done here; waiting for the gate's next order"));
    return std::nullopt;
  }
  return order;
}

void SiteWorker::Wait(const std::string& reason) {
  reporter_.Waiting(reason);
  std::this_thread::sleep_for(kPoll);
}

absl::Status SiteWorker::MakeTrainerFor(const RoundOrder& order) {
  if (trainer_ != nullptr) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<Trainer>> trainer = MakeTrainer(order, options_);
  if (!trainer.ok()) return trainer.status();
  trainer_ = *std::move(trainer);
  first_order_ = order;
  return absl::OkStatus();
}

absl::Status SiteWorker::Do(const RoundOrder& order) {
  if (absl::Status status = CheckSameRun(order); !status.ok()) return status;
  if (absl::Status status = MakeTrainerFor(order); !status.ok()) return status;
  if (absl::Status status = CheckOrder(order); !status.ok()) return status;
  absl::StatusOr<Bases> bases =
      ReadBases(*site_, order, trainer_->layout(), trainer_->WantedFragments(order));
  if (absl::IsNotFound(bases.status())) {
    const Clock::time_point now = Clock::now();
    if (!base_missing_since_.has_value()) base_missing_since_ = now;
    if (now - *base_missing_since_ > kBaseWaitMax) return bases.status();
    Wait(absl::StrCat("waiting for the base of round ", order.round(), ", at most ",
                      kBaseWaitMax.count(), " s: ", bases.status().message()));
    return absl::OkStatus();
  }
  base_missing_since_.reset();
  if (!bases.ok()) return bases.status();
  if (absl::Status status = Begin(order, *std::move(bases)); !status.ok()) return status;
  steps_enough_ = order.steps_enough();

  RoundRunner runner{options_,
                     reporter_,
                     *log_,
                     *checkpoints_,
                     [&] { return EndReason(order); },
                     [&](uint32_t steps_done) { return IsEnough(steps_done); },
                     [&](const StepReport& report, const RoundStats&) {
                       return ShowProgress("training", report.loss, false);
                     }};
  absl::StatusOr<bool> done = runner.Run(trainer_.get());
  if (!done.ok()) return done.status();
  return *done ? Finish(order) : absl::OkStatus();
}

absl::Status SiteWorker::TrainAhead(const RoundOrder& done) {
  if (trainer_ == nullptr && checkpoint_.has_value() && checkpoint_->header.ended() &&
      done.consensus().fragment_delay_steps() > 0 && SameWork(checkpoint_->header.order(), done)) {
    if (absl::Status status = CheckSameRun(done); !status.ok()) return status;
    if (absl::Status status = MakeTrainerFor(done); !status.ok()) return status;
    if (absl::Status status = ResumeCheckpoint(Bases()); !status.ok()) return status;
  }
  if (trainer_ == nullptr || !trainer_->CanStepAhead() || !SameWork(trainer_->order(), done)) {
    return absl::OkStatus();
  }
  RoundRunner runner{options_,
                     reporter_,
                     *log_,
                     *checkpoints_,
                     [&] { return EndReasonAhead(done); },
                     [](uint32_t) { return false; },
                     [&](const StepReport& report, const RoundStats&) {
                       return ShowProgress("training ahead", report.loss, false);
                     }};
  return runner.RunAhead(trainer_.get()).status();
}

absl::Status SiteWorker::ResumeCheckpoint(Bases bases) {
  std::string warning;
  const absl::Status status =
      trainer_->Resume(*std::exchange(checkpoint_, std::nullopt), std::move(bases), &warning);
  if (!status.ok()) return status;
  if (!warning.empty()) reporter_.Warning(warning);
  return log_->GoOnFrom(trainer_->next_round(), trainer_->next_clock_step());
}

absl::Status SiteWorker::Begin(const RoundOrder& order, Bases bases) {
  const bool first = trainer_->order().inner_steps() == 0;
  if (first && checkpoint_.has_value()) {
    const CheckpointHeader& header = checkpoint_->header;
    // A round that has ended has no step left that its bases would be for.
    const bool goes_on = SameWork(header.order(), order) && !header.ended();
    if (absl::Status status = ResumeCheckpoint(goes_on ? std::exchange(bases, Bases()) : Bases());
        !status.ok()) {
      return status;
    }
  }
  // A round that this process ended early (a newer order came, and went) is resumed where it
  // stands.
  const bool resumed = trainer_->order().inner_steps() > 0 && SameWork(trainer_->order(), order) &&
                       trainer_->steps_ahead() == 0;
  if (!resumed) {
    if (absl::Status status = trainer_->BeginRound(order, std::move(bases)); !status.ok()) {
      return status;
    }
    const std::chrono::duration<double> idle =
        idle_since_.has_value() ? Clock::now() - *idle_since_ : Clock::duration::zero();
    trainer_->set_seconds_waiting(idle.count());
  }
  idle_since_.reset();
  reporter_.Info(resumed ? "resumes a round" : "begins a round",
                 {{"round", absl::StrCat(order.round())},
                  {"step", absl::StrCat(trainer_->steps_done(), "/", order.inner_steps())},
                  {"base", order.base_digest()}});
  if (!first) return absl::OkStatus();
  return log_->GoOnFrom(order.round(), order.first_step() + trainer_->steps_done());
}

absl::Status SiteWorker::Finish(const RoundOrder& order) {
  const ParameterLayout& layout = trainer_->layout();
  const uint32_t count = FragmentCount(order.consensus());
  absl::StatusOr<Digest> digest =
      count == 1
          ? site_->WriteVector(layout.digest(), trainer_->vector())
          : site_->WriteFragment(layout.digest(), {layout.element_count(), count, order.fragment()},
                                 trainer_->result());
  if (!digest.ok()) return digest.status();
  const RoundStats stats = trainer_->stats();
  RoundResult result;
  result.set_protocol_version(order.protocol_version());
  result.set_run_id(order.run_id());
  result.set_round(order.round());
  result.set_base_digest(order.base_digest());
  result.set_vector_digest(ToHex(*digest));
  result.set_inner_steps(stats.inner_steps);
  result.set_token_count(stats.token_count);
  result.set_first_loss(stats.first_loss);
  result.set_last_loss(stats.last_loss);
  result.set_seconds_training(stats.seconds_training);
  result.set_seconds_waiting(stats.seconds_waiting);
  result.set_validation_before(stats.validation_before);
  result.set_validation_after(stats.validation_after);
  if (absl::Status status = site_->WriteResult(result); !status.ok()) return status;
  reporter_.Info("did a round",
                 {{"round", absl::StrCat(order.round())},
                  {"first_loss", absl::StrFormat("%.4f", stats.first_loss)},
                  {"last_loss", absl::StrFormat("%.4f", stats.last_loss)},
                  {"tokens", absl::StrCat(stats.token_count)},
                  {"tokens_per_second", absl::StrFormat("%.0f", TokensPerSecond(stats))},
                  {"not_computing", absl::StrFormat("%.1f %%", 100 * ShareNotComputing(stats))},
                  {"vector", result.vector_digest()}});
  return ShowProgress("done", stats.last_loss, true);
}

absl::Status SiteWorker::CheckSameRun(const RoundOrder& order) const {
  const RoundOrder* before = nullptr;
  if (trainer_ != nullptr) before = &first_order_;
  if (checkpoint_.has_value()) before = &checkpoint_->header.order();
  if (before == nullptr) return absl::OkStatus();
  if (before->run_id() != order.run_id() || before->site() != order.site()) {
    return absl::FailedPreconditionError(
        absl::StrCat(site_directory_, ": trained for run ", before->run_id(), " as site ",
                     before->site(), ", now ordered for run ", order.run_id(), " as site ",
                     order.site(), ": give each run and site a directory of its own"));
  }
  if (before->model().SerializeAsString() != order.model().SerializeAsString() ||
      before->tokenizer_sha256() != order.tokenizer_sha256() ||
      before->training().sequence_length() != order.training().sequence_length()) {
    return absl::FailedPreconditionError(
        absl::StrCat(site_directory_, ": the order of round ", order.round(),
                     " names another model, tokenizer or sequence length than those before it"));
  }
  return absl::OkStatus();
}

std::optional<std::string> SiteWorker::EndReason(const RoundOrder& order) {
  if (options_.interrupted()) return "ends the round early: a signal";
  const Clock::time_point now = Clock::now();
  if (now - last_look_ < kPoll) return std::nullopt;
  last_look_ = now;
  if (site_->StopReason().has_value()) return "ends the round early: the gate says stop";
  const absl::StatusOr<std::optional<RoundOrder>> newest = site_->NewestOrder();
  // What is wrong with the newest order is said when it is to be done.
  if (!newest.ok() || (newest->has_value() && !SameWork(**newest, order))) {
    return "abandons the round: the gate has a newer order";
  }
  if (newest->has_value()) steps_enough_ = (*newest)->steps_enough();
  return std::nullopt;
}

std::optional<std::string> SiteWorker::EndReasonAhead(const RoundOrder& done) {
  if (options_.interrupted()) return "stops training ahead: a signal";
  const Clock::time_point now = Clock::now();
  if (now - last_look_ < kPoll) return std::nullopt;
  last_look_ = now;
  if (site_->StopReason().has_value()) return "stops training ahead: the gate says stop";
  const absl::StatusOr<std::optional<RoundOrder>> newest = site_->NewestOrder();
  if (!newest.ok() || !newest->has_value() || !SameWork(**newest, done)) return "";
  return std::nullopt;
}

bool SiteWorker::IsEnough(uint32_t steps_done) {
  if (steps_enough_ == 0 || steps_done < steps_enough_ || trainer_->round_done()) return false;
  reporter_.Info("ends the round with the steps that it has done: time is up",
                 {{"round", absl::StrCat(trainer_->order().round())},
                  {"step", absl::StrCat(steps_done, "/", trainer_->order().inner_steps())}});
  return true;
}

absl::Status SiteWorker::ShowProgress(const std::string& state, double loss, bool always) {
  const Clock::time_point now = Clock::now();
  if (!always && now - last_progress_ < kProgressEvery) return absl::OkStatus();
  last_progress_ = now;
  WorkerProgress progress;
  progress.set_state(state);
  progress.set_loss(loss);
  progress.set_round(trainer_->order().round());
  progress.set_inner_steps(trainer_->order().inner_steps());
  progress.set_inner_steps_done(trainer_->steps_done());
  progress.set_tokens_per_second(TokensPerSecond(trainer_->stats()));
  return site_->WriteProgress(progress);
}

}  // namespace weft
