// The worker of a site that has a gate: waits for orders in the site directory, does them one after
// the other, and writes site vector and result, until the gate says stop.
//
// Every moment can be the last one. After kill -9 a new worker finds its checkpoint, the order and
// the results, and goes on: an order with a result is not done again, one that was begun is
// resumed, one that a later round has overtaken is abandoned. It trusts nothing that it reads: the
// order is checked, vectors by their digests, shards by their tokenizer.
//
//   SiteWorker worker("site", options, &reporter);
//   absl::Status status = worker.Run();      // ok: stopped or interrupted, and said why
//
// One thread.
#ifndef WEFT_WORKER_TRAINING_SITE_WORKER_H_
#define WEFT_WORKER_TRAINING_SITE_WORKER_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "worker/site/site_directory.h"
#include "worker/training/reporter.h"
#include "worker/training/round_runner.h"

namespace weft {

class SiteWorker {
 public:
  SiteWorker(std::string site_directory, WorkerOptions options, Reporter* reporter)
      : site_directory_(std::move(site_directory)),
        options_(std::move(options)),
        reporter_(*reporter) {}

  // AlreadyExists when another worker has the site directory.
  absl::Status Run();

 private:
  using Clock = std::chrono::steady_clock;

  absl::Status Prepare();
  absl::Status ServeOrders();
  // The newest order without a result; none: wait.
  absl::StatusOr<std::optional<RoundOrder>> NextOrder();
  // Says the reason, and pauses until the files may have changed.
  void Wait(const std::string& reason);
  // Does an order, or as much of it as there is time for.
  absl::Status Do(const RoundOrder& order);
  // Where the scheme has a delay: steps of the order after one that is done.
  absl::Status TrainAhead(const RoundOrder& done);
  absl::Status MakeTrainerFor(const RoundOrder& order);
  // Takes the checkpoint into the trainer, and cuts the log to where it stands.
  absl::Status ResumeCheckpoint(Bases bases);
  // Gives the trainer the order: anew, or where the checkpoint stands.
  absl::Status Begin(const RoundOrder& order, Bases bases);
  absl::Status Finish(const RoundOrder& order);
  absl::Status CheckSameRun(const RoundOrder& order) const;
  // Why to end the round in training; looks at files only so often.
  std::optional<std::string> EndReason(const RoundOrder& order);
  std::optional<std::string> EndReasonAhead(const RoundOrder& done);
  // Whether the gate says that time is up, and so many steps will do.
  bool IsEnough(uint32_t steps_done);
  absl::Status ShowProgress(const std::string& state, double loss, bool always);

  const std::string site_directory_;
  const WorkerOptions options_;
  Reporter& reporter_;

  std::unique_ptr<SiteDirectory> site_;
  std::unique_ptr<WorkerLock> lock_;
  std::unique_ptr<TrainingLog> log_;
  std::unique_ptr<CheckpointFolder> checkpoints_;
  std::optional<Checkpoint> checkpoint_;  // found at the start, until the first order takes it
  std::unique_ptr<Trainer> trainer_;
  RoundOrder first_order_;  // of this process: model, data and run stay those
  std::optional<Clock::time_point> base_missing_since_;
  std::optional<Clock::time_point> idle_since_;  // an order is done, and there is none to do
  uint32_t steps_enough_ = 0;                    // of the order in training; 0: all of them
  Clock::time_point last_look_{};
  Clock::time_point last_progress_{};
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_SITE_WORKER_H_
