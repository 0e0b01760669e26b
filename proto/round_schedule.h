// How many inner steps a round asks for, and where the run's step clock stands: H may follow a
// schedule by round (local SGD after a synchronous start, Lin et al. 2018).
//
//   InnerStepsOf(manifest.rounds(), 3)   of the round after three that were done
//   FirstStepOf(manifest, 3)             the clock when it begins: the steps of those three
//   TotalSteps(manifest)                 of the run
//
// `rounds_done` counts as RoundState.rounds_done does. Without a barrier a round is the work of one
// site, and the clock goes on by that site's share of a step of everybody. Pure.
#ifndef WEFT_PROTO_ROUND_SCHEDULE_H_
#define WEFT_PROTO_ROUND_SCHEDULE_H_

#include <algorithm>
#include <cstdint>

#include "proto/run_manifest.pb.h"

namespace weft {

// A round is closed by every single contribution.
inline bool IsAsynchronous(const ConsensusScheme& scheme) { return !scheme.asynchrony().empty(); }

// Into how many parts the vector is cut that travel on their own: 1 or more.
inline uint32_t FragmentCount(const ConsensusScheme& scheme) {
  return std::max(scheme.fragments(), 1u);
}

inline uint32_t InnerStepsOf(const RoundRules& rules, uint64_t rounds_done) {
  for (const InnerStepsPhase& phase : rules.inner_steps_schedule()) {
    if (rounds_done < phase.rounds()) return phase.inner_steps();
    rounds_done -= phase.rounds();
  }
  return rules.inner_steps();
}

inline uint64_t FirstStepOf(const RunManifest& manifest, uint64_t rounds_done) {
  const RoundRules& rules = manifest.rounds();
  if (IsAsynchronous(manifest.consensus())) {
    return rounds_done * rules.inner_steps() / std::max(rules.sites_to_start(), 1u);
  }
  uint64_t step = 0;
  for (const InnerStepsPhase& phase : rules.inner_steps_schedule()) {
    const uint64_t rounds = std::min<uint64_t>(rounds_done, phase.rounds());
    step += rounds * phase.inner_steps();
    rounds_done -= rounds;
  }
  return step + rounds_done * rules.inner_steps();
}

inline uint64_t TotalSteps(const RunManifest& manifest) {
  return FirstStepOf(manifest, manifest.rounds().round_count());
}

}  // namespace weft

#endif  // WEFT_PROTO_ROUND_SCHEDULE_H_
