#include "coordinator/core/admission.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "coordinator/core/inclusion.h"
#include "proto/round_schedule.h"

namespace weft {

Refusal MakeRefusal(Refusal::Code code, std::string reason) {
  Refusal refusal;
  refusal.set_code(code);
  refusal.set_reason(std::move(reason));
  return refusal;
}

const MemberSite* FindMember(const RoundState& state, absl::string_view site) {
  for (const MemberSite& member : state.membership().sites()) {
    if (member.name() == site) return &member;
  }
  return nullptr;
}

const StoredContribution* FindStored(const RoundState& state, absl::string_view site) {
  for (const StoredContribution& stored : state.current().contributions()) {
    if (stored.site() == site) return &stored;
  }
  return nullptr;
}

RoundEvent::Phase PhaseBehindPause(const RoundState& state) {
  return state.phase() == RoundEvent::PAUSED ? state.pause().phase() : state.phase();
}

bool IsOfThisWork(const RoundState& state, uint64_t round) {
  const RoundRecord& now = state.current();
  return round <= now.round() && now.round() - round <= now.reopened();
}

bool TakesWorkOf(const RoundState& state, uint64_t round) {
  return PhaseBehindPause(state) == RoundEvent::OPEN && IsOfThisWork(state, round);
}

namespace {

bool IsVersion(const ConsensusVersion& version, uint64_t number, absl::string_view digest) {
  return version.version() == number && version.digest() == digest;
}

}  // namespace

Refusal CheckLate(const RunManifest& manifest, const RoundState& state, absl::string_view site,
                  uint64_t round, uint64_t base_version, absl::string_view base_digest) {
  const bool in_turn = IsAsynchronous(manifest.consensus());
  const std::string closed = in_turn ? absl::StrCat("a contribution of round ", round)
                                     : absl::StrCat("round ", round, " is closed");
  const uint32_t staleness_max = LateStalenessMax(manifest.rounds());
  if (staleness_max == 0) return MakeRefusal(Refusal::WRONG_ROUND, closed);
  const uint64_t staleness = Staleness(state, base_version);
  if (staleness > staleness_max) {
    return MakeRefusal(Refusal::WRONG_ROUND,
                       absl::StrCat(closed, ", and its base, version ", base_version, ", is ",
                                    staleness, " versions old: the run takes ", staleness_max));
  }
  bool known =
      IsVersion(state.consensus(), base_version, base_digest) && (staleness > 0 || in_turn);
  for (const ConsensusVersion& version : state.older()) {
    known = known || IsVersion(version, base_version, base_digest);
  }
  known = known || (in_turn && IsVersion(BaseOf(manifest, state, site), base_version, base_digest));
  return known ? Refusal()
               : MakeRefusal(Refusal::WRONG_ROUND,
                             absl::StrCat(closed, ", and version ", base_version,
                                          " was not the base that it names"));
}

const ContributionOutcome* FindOutcome(const RoundState& state, absl::string_view site) {
  for (const SiteOutcome& known : state.outcomes()) {
    if (known.site() == site) return &known.outcome();
  }
  return nullptr;
}

ConsensusVersion BaseOf(const RunManifest& manifest, const RoundState& state,
                        absl::string_view site) {
  const bool exchanges = manifest.consensus().asynchrony() == "elastic";
  // What is left when the run is finished is one consensus.
  if (!exchanges || state.phase() == RoundEvent::FINISHED) return state.consensus();
  const ContributionOutcome* outcome = FindOutcome(state, site);
  if (outcome == nullptr || !outcome->included()) return state.consensus();
  for (const ConsensusVersion& older : state.older()) {
    if (older.version() != outcome->base_counted()) continue;
    ConsensusVersion met;
    met.set_version(older.version() + 1);
    met.set_digest(older.digest());
    met.set_bytes(older.bytes());
    return met;
  }
  return state.consensus();  // it was away for too long: that version is gone
}

bool HasTurn(const RoundState& state, absl::string_view site) {
  const auto is_of_site = [site](const StoredContribution& c) { return c.site() == site; };
  const auto has = [&](const auto& list) {
    return std::any_of(list.begin(), list.end(), is_of_site);
  };
  return has(state.carried()) || has(state.current().contributions());
}

uint32_t InnerStepsWanted(const RunManifest& manifest, const RoundState& state) {
  const RoundRules& rules = manifest.rounds();
  return rules.inner_steps_min() > 0 ? rules.inner_steps_min()
                                     : InnerStepsOf(rules, state.rounds_done());
}

Refusal CheckMember(const RoundState& state, absl::string_view site, bool key_matches) {
  const MemberSite* member = FindMember(state, site);
  if (member == nullptr) {
    return MakeRefusal(Refusal::NOT_A_MEMBER,
                       absl::StrCat("\"", site, "\" is not in the membership (version ",
                                    state.membership().version(), ")"));
  }
  if (member->revoked()) {
    return MakeRefusal(Refusal::REVOKED, absl::StrCat(site, " was revoked: ",
                                                      member->revocation_reason().empty()
                                                          ? "no reason given"
                                                          : member->revocation_reason()));
  }
  if (!key_matches) {
    return MakeRefusal(Refusal::WRONG_KEY,
                       absl::StrCat("the certificate of ", site,
                                    " carries another key than the membership names"));
  }
  return {};
}

Refusal CheckContext(const RunManifest& manifest, const RoundState& state,
                     const MessageContext& context) {
  if (context.protocol_version() != manifest.protocol_version()) {
    return MakeRefusal(Refusal::PROTOCOL_VERSION,
                       absl::StrCat("protocol version ", context.protocol_version(),
                                    ": the run speaks ", manifest.protocol_version()));
  }
  if (context.run_id() != manifest.run_id()) {
    return MakeRefusal(Refusal::WRONG_RUN,
                       absl::StrCat("run \"", context.run_id(), "\": this coordinator serves \"",
                                    manifest.run_id(), "\""));
  }
  if (context.coordinator_epoch() > state.coordinator_epoch()) {
    return MakeRefusal(Refusal::OLD_EPOCH,
                       absl::StrCat("the site has seen epoch ", context.coordinator_epoch(),
                                    ", this coordinator is of epoch ", state.coordinator_epoch(),
                                    ": another one has taken over"));
  }
  return {};
}

Refusal CheckSession(const RoundState& state, absl::string_view site, absl::string_view session) {
  for (const SiteState& known : state.sites()) {
    if (known.name() != site) continue;
    if (known.session() == session) return {};
    return MakeRefusal(Refusal::SESSION_REPLACED,
                       absl::StrCat("a newer session of ", site, " has joined"));
  }
  return MakeRefusal(Refusal::SESSION_REPLACED,
                     absl::StrCat(site, " holds no session: it has not joined, or has left"));
}

namespace {

Refusal CheckRound(const RunManifest& manifest, const RoundState& state, absl::string_view site,
                   const Contribution& contribution) {
  if (state.phase() == RoundEvent::FINISHED) {
    return MakeRefusal(Refusal::RUN_ENDED, "all rounds are done");
  }
  if (state.phase() == RoundEvent::HALTED) return MakeRefusal(Refusal::HALTED, state.reason());
  const MessageContext& context = contribution.context();
  if (contribution.round() > state.current().round()) {
    return MakeRefusal(Refusal::WRONG_ROUND,
                       absl::StrCat("a contribution to round ", contribution.round(), ": round ",
                                    state.current().round(), " is the newest"));
  }
  if (IsAsynchronous(manifest.consensus()) || !TakesWorkOf(state, contribution.round())) {
    return CheckLate(manifest, state, site, contribution.round(), context.base_version(),
                     contribution.base_digest());
  }
  const auto& cohort = state.current().cohort();
  if (std::find(cohort.begin(), cohort.end(), site) == cohort.end()) {
    return MakeRefusal(Refusal::NOT_IN_COHORT,
                       absl::StrCat(site, " joined after round ", state.current().round(),
                                    " was opened: it takes part from the next one"));
  }
  if (context.base_version() != state.consensus().version() ||
      contribution.base_digest() != state.consensus().digest()) {
    return MakeRefusal(
        Refusal::WRONG_ROUND,
        absl::StrCat("a contribution from base ", context.base_version(), ": the base of round ",
                     state.current().round(), " is version ", state.consensus().version()));
  }
  return {};
}

// Which part of the vector it is of.
Refusal CheckFragment(const RunManifest& manifest, const RoundState& state,
                      const MessageContext& context) {
  const uint32_t count = FragmentCount(manifest.consensus());
  const uint32_t fragment = state.current().fragment();
  if (context.fragment_count() == count && context.fragment() == fragment) return {};
  return MakeRefusal(
      Refusal::MALFORMED,
      absl::StrCat("fragment ", context.fragment(), " of ", context.fragment_count(), ": round ",
                   state.current().round(), " is of fragment ", fragment, " of ", count));
}

// A late one may be of a round that asked for fewer steps.
uint32_t FewestSteps(const RunManifest& manifest, const RoundState& state, uint64_t round) {
  uint32_t fewest = InnerStepsWanted(manifest, state);
  if (TakesWorkOf(state, round)) return fewest;
  for (const InnerStepsPhase& phase : manifest.rounds().inner_steps_schedule()) {
    fewest = std::min(fewest, phase.inner_steps());
  }
  return fewest;
}

uint32_t MostSteps(const RunManifest& manifest, const RoundState& state, uint64_t round) {
  const RoundRules& rules = manifest.rounds();
  if (TakesWorkOf(state, round)) return InnerStepsOf(rules, state.rounds_done());
  uint32_t most = rules.inner_steps();
  for (const InnerStepsPhase& phase : rules.inner_steps_schedule()) {
    most = std::max(most, phase.inner_steps());
  }
  return most;
}

// What a site says of its own work scales and weighs what all have sent, so none of it may be more
// than the work can be.
Refusal CheckCounts(const RunManifest& manifest, const RoundState& state,
                    const Contribution& contribution) {
  const uint32_t steps = contribution.inner_steps();
  const uint32_t fewest = FewestSteps(manifest, state, contribution.round());
  if (steps < fewest) {
    return MakeRefusal(Refusal::TOO_FEW_STEPS,
                       absl::StrCat(steps, " inner steps: the round asks for ", fewest));
  }
  const uint32_t most = MostSteps(manifest, state, contribution.round());
  if (steps > most) {
    return MakeRefusal(Refusal::MALFORMED,
                       absl::StrCat(steps, " inner steps: the round asks for ", most));
  }
  const InnerTraining& training = manifest.training();
  const uint64_t tokens = uint64_t{steps} * training.batch_size() * training.sequence_length();
  if (contribution.token_count() > tokens) {
    return MakeRefusal(
        Refusal::MALFORMED,
        absl::StrCat(contribution.token_count(), " tokens: ", steps, " steps read ", tokens));
  }
  const double residual = contribution.primal_residual();
  const bool finite = std::isfinite(residual) && residual >= 0 &&
                      std::isfinite(contribution.validation_before()) &&
                      std::isfinite(contribution.validation_after());
  if (!finite) {
    return MakeRefusal(Refusal::NOT_FINITE,
                       "a loss or residual that it declares is not finite, or is negative");
  }
  return {};
}

}  // namespace

Refusal CheckContribution(const RunManifest& manifest, const RoundState& state,
                          const ContributionShape& shape, absl::string_view site,
                          const Contribution& contribution) {
  const MessageContext& context = contribution.context();
  if (Refusal refusal = CheckContext(manifest, state, context); IsRefused(refusal)) return refusal;
  if (contribution.site() != site) {
    return MakeRefusal(
        Refusal::BAD_SIGNATURE,
        absl::StrCat("a contribution of \"", contribution.site(), "\" sent by ", site));
  }
  if (Refusal refusal = CheckRound(manifest, state, site, contribution); IsRefused(refusal)) {
    return refusal;
  }
  if (Refusal refusal = CheckFragment(manifest, state, context); IsRefused(refusal)) return refusal;
  if (contribution.layout_digest() != ToBytes(shape.layout)) {
    return MakeRefusal(Refusal::WRONG_LAYOUT, "the vector is of another parameter layout");
  }
  if (contribution.encoding() != shape.encoding) {
    return MakeRefusal(Refusal::WRONG_ENCODING, absl::StrCat("encoding \"", contribution.encoding(),
                                                             "\": the run uses ", shape.encoding));
  }
  const uint64_t blob_bytes = shape.blob_bytes[context.fragment()];
  if (contribution.blob_bytes() != blob_bytes) {
    return MakeRefusal(
        Refusal::WRONG_LENGTH,
        absl::StrCat(contribution.blob_bytes(), " bytes: the round asks for ", blob_bytes));
  }
  if (contribution.blob_digest().size() != sizeof(Digest)) {
    return MakeRefusal(Refusal::MALFORMED, "blob_digest is not 32 bytes");
  }
  return CheckCounts(manifest, state, contribution);
}

}  // namespace weft
