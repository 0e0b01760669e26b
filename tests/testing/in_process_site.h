// A site of an in-process federation: the site machine, with a driver that does what
// worker/gate/site_driver.cc and base_fetch.cc do, in the same order, and a solver in the worker's
// place. See in_process_federation.h. Belongs to one thread; the solver works on others.
#ifndef WEFT_TESTS_TESTING_IN_PROCESS_SITE_H_
#define WEFT_TESTS_TESTING_IN_PROCESS_SITE_H_

#include <future>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "proto/blob_directory.h"
#include "tests/simulation/scheduler.h"
#include "tests/testing/in_process_coordinator.h"
#include "tests/testing/worker_threads.h"
#include "worker/core/site_machine.h"
#include "worker/gate/site_vectors.h"

namespace weft::testing {

// What the sites of a federation share.
struct SiteSurroundings {
  const FederationOptions* options = nullptr;
  InProcessCoordinator* coordinator = nullptr;
  simulation::Scheduler* scheduler = nullptr;
  WorkerThreads* threads = nullptr;
};

class InProcessSite {
 public:
  // Keeps its files below `folder`.
  static absl::StatusOr<std::unique_ptr<InProcessSite>> Create(const SiteSurroundings& shared,
                                                               size_t number,
                                                               const std::string& folder);
  ~InProcessSite();

  void Start();
  bool finished() const { return finished_; }
  const absl::Status& failure() const { return failure_; }
  uint64_t orders_done() const { return orders_done_; }
  SiteTotals TakeTotals() { return std::move(totals_); }

 private:
  using Came = std::optional<site::SiteEvent>;  // what came of an effect
  struct Done {
    Solution solution;
    Digest result{};         // the part of the site's vector that the order is of
    ParameterVector vector;  // all of it
  };
  // A vector of the coordinator's that is wanted here.
  struct Wanted {
    std::string digest, delta_digest, delta_base_digest;
    uint64_t bytes = 0, delta_bytes = 0;
  };

  InProcessSite(const SiteSurroundings& shared, size_t number, BlobDirectory site_blobs,
                BlobDirectory own_blobs);

  void Feed(site::SiteEvent event);
  void Fail(absl::Status status);
  const RunManifest& manifest() const { return shared_.options->manifest; }
  SiteVectors Vectors() const;

  // in_process_orders.cc: an order and its result.
  void BeginOrder(const RoundEvent& round);
  absl::StatusOr<ParameterVector> ReadVector(const std::string& hex, VectorHeader expected) const;
  absl::StatusOr<Bases> ReadAll(const RoundOrder& order) const;
  absl::StatusOr<Done> DoOrder(const RoundOrder& order);
  void FinishOrder(const RoundOrder& order, uint64_t ticket);

  absl::Status Fetch(const Wanted& wanted, bool delta);
  absl::Status ApplyDelta(const Wanted& wanted);
  absl::Status HoldSent();
  std::string SentOrInitial() const;

  Came Do(const site::JoinRun&);
  Came Do(const site::FetchBase& effect);
  Came Do(const site::PrepareDual& effect);
  Came Do(const site::WriteOrder& effect);
  Came Do(const site::CutOrder&) { return std::nullopt; }  // BeginOrder knew it
  Came Do(const site::FormContribution& effect);
  Came Do(const site::PushContribution& effect);
  Came Do(const site::DiscardResult&) { return std::nullopt; }
  Came Do(const site::SendReport& effect);
  Came Do(const site::CleanUp& effect);
  Came Do(const site::RecordFinal&) { return std::nullopt; }
  Came Do(const site::StopWorker&);
  Came Do(const site::LeaveRun& effect);
  Came Do(const site::Warn&) { return std::nullopt; }
  Came Do(const site::Note&) { return std::nullopt; }
  Came Do(const site::Finish&);
  Came Do(const site::Fail& effect);

  const SiteSurroundings shared_;
  const size_t number_;
  LocalSolver* const solver_;
  const BlobDirectory site_blobs_;  // bases and site vectors
  const BlobDirectory own_blobs_;   // the gate's own
  site::SiteMachine machine_;
  MessageContext context_;
  Contribution contribution_;  // formed last
  // The order under way. A newer one ends it: its ticket is no longer the newest.
  uint64_t ticket_ = 0;
  std::future<absl::StatusOr<Done>> work_;
  SiteTotals totals_;
  uint64_t orders_done_ = 0;
  bool finished_ = false;
  absl::Status failure_;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_IN_PROCESS_SITE_H_
