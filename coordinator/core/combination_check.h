// What a scheme may not ask for: rules that cannot do their work with so few sites, and fields that
// would say one thing and do another. Pure.
//
//   absl::Status status = CheckCombination(manifest.consensus(), manifest.rounds());
//
// Every refusal names the field and says why.
#ifndef WEFT_COORDINATOR_CORE_COMBINATION_CHECK_H_
#define WEFT_COORDINATOR_CORE_COMBINATION_CHECK_H_

#include "absl/status/status.h"
#include "proto/run_manifest.pb.h"

namespace weft {

// combine, faulty_max, clip_factor, influence, outer, and what asynchrony and dual leave of them.
absl::Status CheckCombination(const ConsensusScheme& scheme, const RoundRules& rules);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_COMBINATION_CHECK_H_
