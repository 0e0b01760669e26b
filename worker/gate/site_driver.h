// The gate's one loop: event -> SiteMachine -> state to disk -> effects. Everything that happens at
// a site in a run happens in this order, on one thread; what the effects bring about comes back as
// the next events.
//
//   SiteDriver driver(parts, options, &stop);
//   absl::Status status = driver.Run();   // OK: the run is finished, or `stop` was set
#ifndef WEFT_WORKER_GATE_SITE_DRIVER_H_
#define WEFT_WORKER_GATE_SITE_DRIVER_H_

#include <atomic>
#include <deque>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ops/identity.h"
#include "ops/manifest.h"
#include "proto/blob_directory.h"
#include "worker/core/site_machine.h"
#include "worker/gate/base_fetch.h"
#include "worker/gate/contribution.h"
#include "worker/gate/coordinator_client.h"
#include "worker/gate/gate_folder.h"
#include "worker/gate/ledger.h"
#include "worker/gate/worker_process.h"
#include "worker/site/site_directory.h"

namespace weft {

struct SiteDriverParts {
  const GateFolder* folder = nullptr;
  const Identity* identity = nullptr;
  const SignedManifest* accepted = nullptr;
  const SiteDirectory* site = nullptr;
  const BlobDirectory* own_blobs = nullptr;
  Ledger* ledger = nullptr;
  CoordinatorClient* client = nullptr;
  WorkerProcess* worker = nullptr;  // null: started by somebody else
};

struct SiteDriverOptions {
  std::string worker_command;  // run when a round opens and no worker holds the lock; empty: none
  absl::Duration poll = absl::Milliseconds(100);
  absl::Duration worker_grace =
      absl::Seconds(30);  // for a started worker to end by itself when the run has finished
  site::SiteLimits limits;
};

class SiteDriver {
 public:
  SiteDriver(SiteDriverParts parts, SiteDriverOptions options, GateState state,
             const std::atomic<bool>* stop);
  absl::Status Run();

 private:
  using Came = std::optional<site::SiteEvent>;  // what came of an effect

  void Feed(site::SiteEvent event);
  absl::Status Persist();
  void ListenAndLook();
  void LookForResult();
  void LookAtWorker();
  void StartWorkerIfNeeded(const RoundEvent& round);

  Came Do(const site::JoinRun&);
  Came Do(const site::FetchBase& effect);
  Came Do(const site::PrepareDual& effect);
  Came Do(const site::WriteOrder& effect);
  Came Do(const site::CutOrder& effect);
  Came Do(const site::FormContribution& effect);
  Came Do(const site::DiscardResult& effect);
  Came Do(const site::PushContribution& effect);
  Came Do(const site::SendReport& effect);
  Came Do(const site::CleanUp& effect);
  Came Do(const site::RecordFinal& effect);
  Came Do(const site::StopWorker& effect);
  Came Do(const site::LeaveRun& effect);
  Came Do(const site::Warn& effect);
  Came Do(const site::Note& effect);
  Came Do(const site::Finish& effect);
  Came Do(const site::Fail& effect);

  // site_driver_work.cc: bases, orders and contributions.
  BaseFetch Fetching(const BlobDirectory* blobs) const;
  SiteVectors Vectors() const;
  ContributionContext Contributing() const;
  RoundOrder OrderOf(const RoundEvent& round) const;
  KeptVectors Kept(const site::FormContribution& effect) const;
  Came CannotForm(const absl::Status& status);
  std::string SentOrInitial() const;
  absl::Status HoldSent(const RoundEvent& round);
  void EndWith(absl::Status status);
  void LogPhase(const RoundEvent& now);

  SiteDriverParts parts_;
  SiteDriverOptions options_;
  Digest layout_{};
  site::SiteMachine machine_;
  const std::atomic<bool>* stop_;
  std::string persisted_;
  std::string logged_phase_;
  uint64_t command_round_ = UINT64_MAX;
  CommandRunner command_;
  bool joined_ = false;
  absl::Time coordinator_boot_;  // when this machine started, by the coordinator's clock
  std::optional<absl::Status> end_;
};

}  // namespace weft

#endif  // WEFT_WORKER_GATE_SITE_DRIVER_H_
