// Where the coordinator's small state lives: one transition of the round machine is one synced
// write, so that a coordinator killed at any instant comes back either before the transition or
// after it.
//
//   machine.Step(event) -> effects;  store->Commit(machine.state(), effects);  then the effects are
//   performed
//
// Thread-safe: one thread commits, others read.
#ifndef WEFT_COORDINATOR_STORE_ROUND_STORE_H_
#define WEFT_COORDINATOR_STORE_ROUND_STORE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "coordinator/core/round_machine.h"
#include "coordinator/core/round_state.pb.h"

namespace weft {

class RoundStore {
 public:
  virtual ~RoundStore() = default;

  // Durable when it returns: the state, the audit records of the decisions among `effects`, and
  // what Keep... effects hold. Other effects are not looked at.
  virtual absl::Status Commit(const RoundState& state, absl::Span<const Effect> effects) = 0;

  // NotFound in a store to which nothing was committed.
  virtual absl::StatusOr<RoundState> LoadState() const = 0;
  virtual absl::StatusOr<std::optional<Receipt>> FindReceipt(absl::string_view site,
                                                             uint64_t base_version,
                                                             uint32_t fragment) const = 0;
  // In order of the rounds; reports of a round in site order.
  virtual absl::StatusOr<std::vector<RoundRecord>> Rounds() const = 0;
  virtual absl::StatusOr<std::vector<SiteReport>> Reports() const = 0;
  // The newest `count_max` records, oldest first. DataLoss names the first whose hash of the one
  // before is wrong.
  virtual absl::StatusOr<std::vector<AuditRecord>> Audit(uint64_t count_max) const = 0;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_STORE_ROUND_STORE_H_
