// A contribution's way from its head to its receipt: checked as a head, spooled chunk by chunk,
// checked as a whole, named by its digest, given to the round machine. Knows nothing of gRPC.
//
//   ContributionIntake::Opening opening = intake.Open(site, signed, sums);  // refused, stored
//   already, or a spool to fill opening.spooled->Add(number, data) ... intake.Complete(opening,
//   [](PushReply reply) { ... });      // on another thread, when all of it has been checked
//
// Thread-safe.
#ifndef WEFT_COORDINATOR_SERVER_CONTRIBUTION_INTAKE_H_
#define WEFT_COORDINATOR_SERVER_CONTRIBUTION_INTAKE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/core/admission.h"
#include "coordinator/server/round_driver.h"
#include "coordinator/server/run_folder.h"
#include "coordinator/server/work_thread.h"
#include "coordinator/store/contribution_spool.h"
#include "model/parameters/parameter_codec.h"
#include "proto/contribution.pb.h"
#include "proto/coordinator.pb.h"

namespace weft {

class ContributionIntake {
 public:
  static absl::StatusOr<std::unique_ptr<ContributionIntake>> Create(const LoadedRun& run,
                                                                    RoundDriver* driver);

  struct Opening {
    bool answered =
        false;  // `reply` is the whole answer: a refusal, or the receipt of what is stored
    PushReply reply;
    std::string site;
    Contribution contribution;
    std::string signed_contribution;
    std::shared_ptr<SpooledContribution> spooled;  // may be null after Look
  };
  // The head of a push. A Status is this machine's trouble, and may pass.
  absl::StatusOr<Opening> Open(const std::string& site, const std::string& signed_contribution,
                               const std::string& chunk_sha256s);
  // The same, without making a spool: what has arrived so far.
  absl::StatusOr<Opening> Look(const std::string& site, const std::string& signed_contribution,
                               const std::string& chunk_sha256s);

  // Requires opening.spooled->complete(). `done` runs on another thread.
  using Done = std::function<void(const absl::StatusOr<PushReply>&)>;
  void Complete(Opening opening, Done done);

 private:
  ContributionIntake(const LoadedRun& run, RoundDriver* driver,
                     std::unique_ptr<ContributionSpool> spool);
  // Fills all but the spool; `answered` where there is nothing to spool.
  absl::StatusOr<Opening> ReadHead(const std::string& site, const std::string& signed_contribution,
                                   const std::string& chunk_sha256s, SpoolHead* head);
  absl::StatusOr<PushReply> FindReceipt(const std::string& site, const Contribution& contribution);
  void CheckAndStore(const Opening& opening, const Done& done);
  absl::StatusOr<Refusal> CheckBytes(const Opening& opening, double* update_norm);

  const LoadedRun& run_;
  RoundDriver* const driver_;
  std::unique_ptr<ContributionSpool> spool_;
  ContributionShape shape_;
  std::vector<VectorHeader> headers_;  // of each fragment, but for the base
  WorkThread checks_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_CONTRIBUTION_INTAKE_H_
