// What of a round's stored contributions goes into its consensus, and how much each counts: decided
// once, when the round closes. Pure.
//
//   Inclusion inclusion = DecideInclusion(manifest, state);
//   if (inclusion.fresh >= manifest.rounds().quorum()) ...   // the round may close
//
// Left out are: norms that are not within a factor of the cohort's median, late contributions that
// have become too old, sites whose loss on their own held-out text rose (the quality floor). How
// much one counts is its site's weight, or its tokens; 1 / (1 + staleness)^a of that if it is late
// (staleness-aware asynchronous SGD, Xie et al. 2019, polynomial form); capped. Combinations that
// ignore weights weigh all the same.
//
// Without a barrier a round is of one contribution, and its weight is absolute: the discount
// (delayed), or 1 (elastic). With a dual a site's weight is its part in the whole membership, in
// every round the same. In both the base counts with what is left of 1.
#ifndef WEFT_COORDINATOR_CORE_INCLUSION_H_
#define WEFT_COORDINATOR_CORE_INCLUSION_H_

#include <cstdint>
#include <vector>

#include "coordinator/core/round_state.pb.h"

namespace weft {

struct Inclusion {
  std::vector<StoredContribution> included;  // in order of (site, base version)
  std::vector<ExcludedContribution> excluded;
  uint32_t fresh = 0;      // of the included: of this round, not late; these make the quorum
  double base_weight = 0;  // 1 less the weights of the included
};
Inclusion DecideInclusion(const RunManifest& manifest, const RoundState& state);

// How many versions the base of a contribution is older than the base that `state` stands at, or
// goes to when its consensus is ready.
uint64_t Staleness(const RoundState& state, uint64_t base_version);

// Versions that the base of a late contribution may be older; 0: late ones are not taken.
uint32_t LateStalenessMax(const RoundRules& rules);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_INCLUSION_H_
