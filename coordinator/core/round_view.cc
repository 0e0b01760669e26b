#include "coordinator/core/round_view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/inclusion.h"

namespace weft {
namespace {

// When a site that may do fewer steps stops, so that its contribution is there at the deadline.
int64_t CutTime(const RoundRules& rules, int64_t deadline_unix_ms) {
  if (InnerStepsMin(rules) >= rules.inner_steps()) return 0;
  const int64_t upload_ms = rules.upload_seconds() > 0 ? int64_t{1000} * rules.upload_seconds()
                                                       : int64_t{100} * rules.round_seconds_max();
  return deadline_unix_ms - upload_ms;
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
  context->set_base_version(state.consensus().version());
  context->set_fragment_count(1);
  const uint64_t round = state.current().round();
  event.set_phase(state.phase());
  event.set_round(round);
  event.set_round_count(manifest.rounds().round_count());
  event.set_base_digest(state.consensus().digest());
  event.set_base_bytes(state.consensus().bytes());
  event.set_delta_digest(state.consensus().delta_digest());
  event.set_delta_bytes(state.consensus().delta_bytes());
  event.set_delta_base_digest(state.consensus().delta_base_digest());
  event.set_inner_steps(manifest.rounds().inner_steps());
  event.set_first_step(state.rounds_done() * manifest.rounds().inner_steps());
  event.set_reopened(state.current().reopened());
  event.set_inner_steps_min(InnerStepsMin(manifest.rounds()));
  event.set_late_staleness_max(LateStalenessMax(manifest.rounds()));
  event.set_reason(state.reason());
  if (state.phase() != RoundEvent::OPEN) return event;
  event.set_deadline_unix_ms(state.deadline_unix_ms());
  event.set_cut_unix_ms(CutTime(manifest.rounds(), state.deadline_unix_ms()));
  const auto& cohort = state.current().cohort();
  const bool invited = std::find(cohort.begin(), cohort.end(), site) != cohort.end();
  event.set_contribution_stored(!invited || FindStored(state, site) != nullptr);
  if (!invited) {
    event.set_reason(absl::StrCat(state.reason(), "; ", site, " takes part from the next round"));
  }
  return event;
}

}  // namespace weft
