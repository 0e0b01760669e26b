// What one site is told of the round: the whole state that it needs to do its duty, so that a site
// that missed some events loses nothing by it. Pure.
#ifndef WEFT_COORDINATOR_CORE_ROUND_VIEW_H_
#define WEFT_COORDINATOR_CORE_ROUND_VIEW_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "coordinator/core/round_state.pb.h"
#include "proto/coordinator.pb.h"

namespace weft {

// `contribution_stored` means that nothing more is wanted from the site in this round: it has
// contributed, or it is not in the cohort.
RoundEvent RoundEventFor(const RunManifest& manifest, const RoundState& state,
                         absl::string_view site, absl::string_view session);

// The length of a blob that a site may fetch; none: nobody is told of it. Versions and their
// encoded changes; all fragments; older versions that sites without a barrier start from, and the
// initial one where sites with duals do (RoundState.older).
std::optional<uint64_t> ServedBytes(const RoundState& state, absl::string_view digest);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_ROUND_VIEW_H_
