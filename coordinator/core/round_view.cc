#include "coordinator/core/round_view.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/inclusion.h"
#include "proto/round_schedule.h"

namespace weft {
namespace {

// When a site that may do fewer steps stops, so that its contribution is there at the deadline.
int64_t CutTime(const RunManifest& manifest, const RoundState& state) {
  const RoundRules& rules = manifest.rounds();
  if (InnerStepsWanted(manifest, state) >= InnerStepsOf(rules, state.rounds_done())) return 0;
  const int64_t upload_ms = rules.upload_seconds() > 0 ? int64_t{1000} * rules.upload_seconds()
                                                       : int64_t{100} * rules.round_seconds_max();
  return state.deadline_unix_ms() - upload_ms;
}

void AddFragments(const RunManifest& manifest, const RoundState& state, RoundEvent* event) {
  event->mutable_context()->set_fragment_count(FragmentCount(manifest.consensus()));
  event->mutable_context()->set_fragment(state.current().fragment());
  for (const ConsensusVersion& version : state.fragments()) {
    FragmentVersion* fragment = event->add_fragments();
    fragment->set_digest(version.digest());
    fragment->set_bytes(version.bytes());
    fragment->set_delta_digest(version.delta_digest());
    fragment->set_delta_bytes(version.delta_bytes());
    fragment->set_delta_base_digest(version.delta_base_digest());
  }
}

// Nothing more is wanted from the site in this round.
bool IsServed(const RunManifest& manifest, const RoundState& state, absl::string_view site) {
  if (IsAsynchronous(manifest.consensus())) return HasTurn(state, site);
  return FindStored(state, site) != nullptr;
}

}  // namespace

RoundEvent RoundEventFor(const RunManifest& manifest, const RoundState& state,
                         absl::string_view site, absl::string_view session) {
  RoundEvent event;
  MessageContext* context = event.mutable_context();
  context->set_protocol_version(manifest.protocol_version());
  context->set_run_id(manifest.run_id());
  context->set_coordinator_epoch(state.coordinator_epoch());
  context->set_session_id(std::string(session));
  const ConsensusVersion base = BaseOf(manifest, state, site);
  context->set_base_version(base.version());
  AddFragments(manifest, state, &event);
  const uint64_t round = state.current().round();
  event.set_phase(state.phase());
  event.set_round(round);
  event.set_round_count(manifest.rounds().round_count());
  event.set_base_digest(base.digest());
  event.set_base_bytes(base.bytes());
  event.set_delta_digest(base.delta_digest());
  event.set_delta_bytes(base.delta_bytes());
  event.set_delta_base_digest(base.delta_base_digest());
  event.set_inner_steps(InnerStepsOf(manifest.rounds(), state.rounds_done()));
  event.set_first_step(FirstStepOf(manifest, state.rounds_done()));
  event.set_reopened(state.current().reopened());
  event.set_inner_steps_min(InnerStepsWanted(manifest, state));
  event.set_rho(state.rho());
  if (const ContributionOutcome* outcome = FindOutcome(state, site)) {
    *event.mutable_outcome() = *outcome;
  }
  event.set_late_staleness_max(LateStalenessMax(manifest.rounds()));
  event.set_reason(state.reason());
  if (state.phase() != RoundEvent::OPEN) return event;
  event.set_deadline_unix_ms(state.deadline_unix_ms());
  event.set_cut_unix_ms(CutTime(manifest, state));
  const auto& cohort = state.current().cohort();
  const bool invited = IsAsynchronous(manifest.consensus()) ||
                       std::find(cohort.begin(), cohort.end(), site) != cohort.end();
  event.set_contribution_stored(!invited || IsServed(manifest, state, site));
  if (!invited) {
    event.set_reason(absl::StrCat(state.reason(), "; ", site, " takes part from the next round"));
  }
  return event;
}

std::optional<uint64_t> ServedBytes(const RoundState& state, absl::string_view digest) {
  if (digest.empty()) return std::nullopt;  // what a version without a change has
  std::vector<const ConsensusVersion*> versions = {&state.consensus()};
  for (const ConsensusVersion& fragment : state.fragments()) versions.push_back(&fragment);
  for (const ConsensusVersion* version : versions) {
    if (version->digest() == digest) return version->bytes();
    if (version->delta_digest() == digest) return version->delta_bytes();
  }
  for (const ConsensusVersion& older : state.older()) {
    if (older.digest() == digest) return older.bytes();
  }
  return std::nullopt;
}

}  // namespace weft
