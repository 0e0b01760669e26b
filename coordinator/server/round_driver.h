// The coordinator's one loop: an event comes in, the round machine steps, its new state and records
// are written in one synced batch, and only then are its effects performed. Timers are events too.
//
//   auto driver = *RoundDriver::Create(run, {.keep_contributions = false}, listener);
//   driver->Submit(SiteJoined{site, session}, [](const RoundDriver::Outcome& effects) { reply();
//   });
//
// If the state cannot be written, nothing more is done: the listener is told, and every Submit
// answers with the error. Thread-safe. `Done` runs on the loop's thread and must not wait.
#ifndef WEFT_COORDINATOR_SERVER_ROUND_DRIVER_H_
#define WEFT_COORDINATOR_SERVER_ROUND_DRIVER_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/core/round_machine.h"
#include "coordinator/core/run_clock.h"
#include "coordinator/server/operator_command.h"
#include "coordinator/server/run_folder.h"
#include "coordinator/server/work_thread.h"
#include "coordinator/store/round_store.h"
#include "proto/blob_directory.h"

namespace weft {

class RoundDriver {
 public:
  struct Options {
    bool keep_contributions = false;  // so that anyone can recompute the aggregate
    absl::Duration tick = absl::Milliseconds(200);
  };
  // All on the loop's thread.
  struct Listener {
    std::function<void()> on_change;  // state() is new
    std::function<void()> on_tick;
    std::function<void(absl::Status)> on_failure;  // nothing more will be done
  };
  using Outcome = absl::StatusOr<std::vector<Effect>>;
  using Done = std::function<void(const Outcome&)>;

  static absl::StatusOr<std::unique_ptr<RoundDriver>> Create(const LoadedRun& run, Options options,
                                                             Listener listener);
  // Finishes what was submitted.
  ~RoundDriver();

  void Submit(Event event, Done done = nullptr);
  // What a stream met on our disk. One that is full may have room at the site's next attempt: that
  // is logged; one that cannot be written ends the coordinator, as it would with the next decision.
  void ReportTrouble(const absl::Status& status);
  std::shared_ptr<const RoundState> state() const;
  const RoundStore& store() const { return *store_; }
  const BlobDirectory& vectors() const { return vectors_; }

 private:
  RoundDriver(const LoadedRun& run, Options options, Listener listener,
              std::unique_ptr<RoundStore> store, RoundState state, BlobDirectory vectors);

  int64_t UnixMs() const;

  // On the loop's thread.
  void Tick();
  Outcome Handle(const Event& event);
  absl::Status Save(const std::vector<Effect>& effects);
  absl::Status Apply(const std::vector<Effect>& effects);
  void Perform(const Effect& effect);
  void ReadMembershipIfChanged();
  OperatorAnswer Obey(const OperatorCommand& command);
  void Fail(absl::Status status);

  // On the thread of long work.
  void DoOuterStep(const RunOuterStep& step);
  void DoPublish(const PublishRelease& publish);

  const LoadedRun& run_;
  const Options options_;
  const Listener listener_;
  std::unique_ptr<RoundStore> store_;
  RoundMachine machine_;
  const RunClock clock_;
  const BlobDirectory vectors_;
  absl::Status failure_;
  bool started_ = false;
  bool save_soon_ = false;
  bool outer_step_runs_ = false;
  std::string membership_seen_;  // size, time and inode of the file that was read last

  mutable std::mutex mutex_;
  std::shared_ptr<const RoundState> snapshot_;
  std::optional<WorkThread> loop_;
  std::optional<WorkThread> work_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_ROUND_DRIVER_H_
