// May this call, this contribution, be taken at all? Pure checks against the round's state, each
// refusal with its code and words. What needs the bytes themselves (digests, finite values, the
// norm) is checked where they are read.
//
//   Refusal refusal = CheckCaller(manifest, state, site, key_matches, context);
//   if (refusal.code() != Refusal::NONE) ...
//
// Nothing here looks at a clock or a disk; a Refusal of code NONE means: go on.
#ifndef WEFT_COORDINATOR_CORE_ADMISSION_H_
#define WEFT_COORDINATOR_CORE_ADMISSION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "coordinator/core/round_state.pb.h"
#include "proto/contribution.pb.h"
#include "proto/coordinator.pb.h"
#include "proto/digest.h"

namespace weft {

Refusal MakeRefusal(Refusal::Code code, std::string reason);
inline bool IsRefused(const Refusal& refusal) { return refusal.code() != Refusal::NONE; }

// nullptr: not a member.
const MemberSite* FindMember(const RoundState& state, absl::string_view site);
const StoredContribution* FindStored(const RoundState& state, absl::string_view site);

// What goes on, or is to go on when an operator's pause ends.
RoundEvent::Phase PhaseBehindPause(const RoundState& state);
// A contribution signed for `round` is of the work that the open round asks for: its own number, or
// that of a round that was given up and opened again under this number.
bool IsOfThisWork(const RoundState& state, uint64_t round);
bool TakesWorkOf(const RoundState& state, uint64_t round);
// Whether a contribution that is not of the open round's work may still count, in a round to come:
// where late ones are carried, or where there is no barrier and every one has a round of its own.
Refusal CheckLate(const RunManifest& manifest, const RoundState& state, absl::string_view site,
                  uint64_t round, uint64_t base_version, absl::string_view base_digest);

// What a site starts from. Everybody from the newest consensus; but where vectors are exchanged
// without a barrier (EASGD, Zhang et al. 2015, algorithm 1) each from the version that its last
// contribution met, so that the site moves by what the consensus moved by. It then has the number
// of the version that came of that, which no other of the site's bases has.
ConsensusVersion BaseOf(const RunManifest& manifest, const RoundState& state,
                        absl::string_view site);
// nullptr: nothing of the site's has been decided yet.
const ContributionOutcome* FindOutcome(const RoundState& state, absl::string_view site);
// Without a barrier: what the site sent waits for its turn, or has it.
bool HasTurn(const RoundState& state, absl::string_view site);
// Inner steps that a contribution to the open round needs.
uint32_t InnerStepsWanted(const RunManifest& manifest, const RoundState& state);

// Member, not revoked, with the key the membership names.
Refusal CheckMember(const RoundState& state, absl::string_view site, bool key_matches);
// Protocol version, run and epoch of a call.
Refusal CheckContext(const RunManifest& manifest, const RoundState& state,
                     const MessageContext& context);
// The newest session of a site is the only one.
Refusal CheckSession(const RoundState& state, absl::string_view site, absl::string_view session);

// What a contribution must be to fit the model: fixed for the whole run.
struct ContributionShape {
  Digest layout{};
  std::string encoding;
  std::vector<uint64_t> blob_bytes;  // of each fragment; of the whole vector, where it is not cut
};

// The head of a contribution by `site`, whose signature has been checked, against the open round,
// or, where the run takes late ones, against those before. A contribution that is stored already is
// not refused here: the caller looks for its receipt first.
Refusal CheckContribution(const RunManifest& manifest, const RoundState& state,
                          const ContributionShape& shape, absl::string_view site,
                          const Contribution& contribution);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_ADMISSION_H_
