// What of a round's stored contributions goes into its consensus, and how much each counts: decided
// once, when the round closes. Pure.
//
//   Inclusion inclusion = DecideInclusion(manifest, state);
//   if (inclusion.fresh >= manifest.rounds().quorum()) ...   // the round may close
//
// Left out are: norms that are not within a factor of the cohort's median, and late contributions
// that have become too old. A late one counts 1 / (1 + staleness)^a of a fresh one (staleness-aware
// asynchronous SGD, Xie et al. 2019, polynomial form).
#ifndef WEFT_COORDINATOR_CORE_INCLUSION_H_
#define WEFT_COORDINATOR_CORE_INCLUSION_H_

#include <cstdint>
#include <vector>

#include "coordinator/core/round_state.pb.h"

namespace weft {

struct Inclusion {
  std::vector<StoredContribution> included;  // weights sum to 1; in order of (site, base version)
  std::vector<ExcludedContribution> excluded;
  uint32_t fresh = 0;  // of the included: of this round, not late; these make the quorum
};
Inclusion DecideInclusion(const RunManifest& manifest, const RoundState& state);

// How many versions the base of a contribution is older than the base that `state` stands at, or
// goes to when its consensus is ready.
uint64_t Staleness(const RoundState& state, uint64_t base_version);

// Versions that the base of a late contribution may be older; 0: late ones are not taken.
uint32_t LateStalenessMax(const RoundRules& rules);
// Steps that a contribution needs.
uint32_t InnerStepsMin(const RoundRules& rules);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_INCLUSION_H_
