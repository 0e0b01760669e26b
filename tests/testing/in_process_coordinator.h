// The coordinator of an in-process federation: the round machine, with a driver that does what
// coordinator/server/round_driver.cc and contribution_intake.cc do, in the same order, without a
// store, a network and signatures. See in_process_federation.h. Belongs to one thread.
#ifndef WEFT_TESTS_TESTING_IN_PROCESS_COORDINATOR_H_
#define WEFT_TESTS_TESTING_IN_PROCESS_COORDINATOR_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/round_machine.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_directory.h"
#include "tests/simulation/scheduler.h"
#include "tests/testing/in_process_federation.h"

namespace weft::testing {

// What the clock shows when simulated time is 0.
inline constexpr int64_t kStartUnixMs = 1'000'000;

class InProcessCoordinator {
 public:
  // Writes the initial consensus below `folder`.
  static absl::StatusOr<std::unique_ptr<InProcessCoordinator>> Create(
      const FederationOptions& options, const std::string& folder,
      simulation::Scheduler* scheduler);

  // Calls of a site. `announce` is told every change, once its watch is open.
  JoinReply Join(const std::string& site);
  void OpenWatch(const std::string& site, std::function<void(const RoundEvent&)> announce);
  // `blob_path`: of the encoded vector, in a folder on the same file system.
  absl::StatusOr<PushReply> Push(const Contribution& contribution, const std::string& blob_path);
  ReportReply Report(const std::string& site, const RoundReport& report);
  LeaveReply Leave(const std::string& site, const std::string& reason);
  const BlobDirectory& vectors() const { return vectors_; }

  // Time passes: what is due by the clock is done.
  void Tick();
  const RoundState& state() const { return machine_.state(); }
  const std::vector<RoundRecord>& rounds() const { return rounds_; }
  const absl::Status& failure() const { return failure_; }
  absl::StatusOr<ParameterVector> Consensus() const;

 private:
  struct Watcher {
    std::string session;
    std::function<void(const RoundEvent&)> announce;
  };

  InProcessCoordinator(const FederationOptions& options, simulation::Scheduler* scheduler,
                       VectorFormat up, VectorFormat down, RoundState initial,
                       BlobDirectory vectors, BlobDirectory contributions);

  std::vector<Effect> Handle(const Event& event);
  void Perform(const Effect& effect);
  void Announce();
  void ComputeStep(const RunOuterStep& step);
  void RemoveUnneededBlobs();
  void WakeAtDeadline();
  absl::StatusOr<PushReply> CheckAndStore(const Contribution& contribution,
                                          const std::string& blob_path);
  void Fail(absl::Status status);

  const FederationOptions& options_;
  simulation::Scheduler* const scheduler_;
  const VectorFormat up_, down_;
  ContributionShape shape_;
  RoundMachine machine_;
  const BlobDirectory vectors_;
  const BlobDirectory contributions_;
  std::map<std::string, Watcher> watchers_;
  std::vector<RoundRecord> rounds_;
  bool announcing_ = false;
  bool step_runs_ = false;
  int64_t awake_at_ms_ = 0;
  absl::Status failure_;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_IN_PROCESS_COORDINATOR_H_
