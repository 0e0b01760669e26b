#include "coordinator/core/round_machine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/influence.h"
#include "coordinator/core/message_lists.h"
#include "proto/check.h"
#include "proto/round_schedule.h"

namespace weft {

std::string ShortHex(absl::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), std::min<size_t>(bytes.size(), 4)));
}

RoundState RoundMachine::InitialState(const RunManifest& manifest, const Membership& membership,
                                      const ConsensusVersion& consensus,
                                      const std::vector<ConsensusVersion>& fragments) {
  WEFT_CHECK(fragments.empty() || fragments.size() == FragmentCount(manifest.consensus()));
  RoundState state;
  state.set_coordinator_epoch(1);
  *state.mutable_consensus() = fragments.empty() ? consensus : fragments[0];
  for (const ConsensusVersion& fragment : fragments) *state.add_fragments() = fragment;
  *state.mutable_membership() = membership;
  state.set_phase(RoundEvent::FORMING);
  state.set_reason(absl::StrCat("round 0 waits for ", manifest.rounds().sites_to_start(),
                                " sites: none has joined"));
  state.mutable_current()->set_base_version(state.consensus().version());
  state.mutable_current()->set_base_digest(state.consensus().digest());
  PendingRelease* release = state.add_releases();
  release->set_version(consensus.version());
  if (fragments.empty()) release->set_digest(consensus.digest());
  for (const ConsensusVersion& fragment : fragments) {
    release->add_fragment_digests(fragment.digest());
  }
  if (manifest.rounds().evaluation_seconds_max() > 0) *state.mutable_last_good() = consensus;
  // A site with a dual starts its sum from it, whenever it joins.
  if (manifest.consensus().dual()) *state.add_older() = consensus;
  return state;
}

RoundMachine::RoundMachine(RunManifest manifest, RoundState state)
    : manifest_(std::move(manifest)), state_(std::move(state)) {}

std::vector<Effect> RoundMachine::Step(const Event& event) {
  effects_.clear();
  std::visit([this](const auto& e) { On(e); }, event);
  return std::exchange(effects_, {});
}

void RoundMachine::On(const TimeAdvanced& event) {
  state_.set_now_unix_ms(std::max(state_.now_unix_ms(), event.unix_ms));
  ActAtDeadline();
  StartDueReleases();
}

void RoundMachine::On(const CoordinatorStarted& event) {
  state_.set_now_unix_ms(std::max(state_.now_unix_ms(), event.unix_ms));
  for (SiteState& site : *state_.mutable_sites()) site.set_connected(false);
  for (PendingRelease& release : *state_.mutable_releases()) release.set_started(false);
  Decide(Decision::COORDINATOR_STARTED, absl::StrCat("goes on at: ", state_.reason()));
  effects_.push_back(RemoveUnneeded{});
  StartDueReleases();
  const bool all_done = state_.rounds_done() == manifest_.rounds().round_count();
  if (state_.phase() == RoundEvent::AGGREGATING && !all_done) {
    effects_.push_back(RunOuterStep{state_.current(), state_.consensus()});
  }
  if (state_.phase() == RoundEvent::EVALUATING) effects_.push_back(Evaluate{state_.candidate()});
}

void RoundMachine::On(const SiteJoined& event) {
  const MemberSite* member = FindMember(state_, event.site);
  if (member == nullptr || member->revoked()) {
    return RefuseCall(event.site, Refusal::NOT_A_MEMBER, "the membership changed meanwhile");
  }
  SiteState* site = FindSite(event.site);
  const bool again = site != nullptr;
  if (!again) {
    site = state_.add_sites();
    site->set_name(event.site);
  }
  site->set_session(event.session);
  site->set_active(true);
  site->set_connected(false);
  SortBy(state_.mutable_sites(), [](const SiteState& s) { return s.name(); });
  Decide(Decision::SITE_JOINED,
         again ? "joined again: its newest session replaces the one before" : "joined", event.site);
  effects_.push_back(Accept{});
  effects_.push_back(Announce{});  // a watcher of the old session learns that it was replaced
  OpenOrWait();
}

void RoundMachine::On(const SiteResumed& event) {
  if (!HoldsSession(event.site, event.session)) return;
  SiteState* site = FindSite(event.site);
  if (site->connected() && site->active()) return;
  site->set_connected(true);
  if (site->active()) return effects_.push_back(SaveSoon{});
  site->set_active(true);
  Decide(Decision::SITE_RESUMED, "is back, and is invited again", event.site);
  OpenOrWait();
}

void RoundMachine::On(const SiteLost& event) {
  if (!HoldsSession(event.site, event.session) || !FindSite(event.site)->connected()) return;
  FindSite(event.site)->set_connected(false);
  effects_.push_back(SaveSoon{});
}

void RoundMachine::On(const SiteLeft& event) {
  if (!HoldsSession(event.site, event.session)) {
    return RefuseCall(event.site, Refusal::SESSION_REPLACED, "a newer session has joined");
  }
  RemoveSite(event.site);
  Decide(Decision::SITE_LEFT, absl::StrCat("left: ", event.reason), event.site);
  effects_.push_back(Accept{});
  effects_.push_back(Announce{});
  CloseIfComplete();
}

void RoundMachine::On(const MembershipChanged& event) {
  std::string problem;
  if (event.membership.run_id() != manifest_.run_id()) {
    problem = absl::StrCat("it is of run \"", event.membership.run_id(), "\"");
  } else if (event.membership.version() <= state_.membership().version()) {
    problem = absl::StrCat("its version ", event.membership.version(), " is not above ",
                           state_.membership().version(), ", which is in force");
  } else if (absl::Status status = CheckMemberWeights(event.membership); !status.ok()) {
    problem = std::string(status.message());
  } else if (manifest_.consensus().dual() && !HasSameParts(state_.membership(), event.membership)) {
    problem =
        "with duals every site's part in the consensus is fixed: a site may be revoked, but none "
        "added, removed or weighed otherwise";
  }
  if (!problem.empty()) {
    return Decide(Decision::MEMBERSHIP_REFUSED,
                  absl::StrCat("the membership is not taken: ", problem));
  }
  *state_.mutable_membership() = event.membership;
  Decide(Decision::MEMBERSHIP_CHANGED,
         absl::StrCat("version ", event.membership.version(), " is in force",
                      manifest_.consensus().dual()
                          ? "; what a revoked site has sent stays its part of the consensus"
                          : ""));
  DropRevoked();
  effects_.push_back(Announce{});
  CloseIfComplete();
}

void RoundMachine::DropRevoked() {
  const auto gone = [this](absl::string_view site) {
    const MemberSite* member = FindMember(state_, site);
    return member == nullptr || member->revoked();
  };
  EraseIf(state_.mutable_sites(), [&](const SiteState& site) { return gone(site.name()); });
  EraseIf(state_.mutable_outcomes(), [&](const SiteOutcome& o) { return gone(o.site()); });
  const auto excluded = [&](const StoredContribution& stored) {
    if (!gone(stored.site())) return false;
    Decide(Decision::CONTRIBUTION_EXCLUDED, "its site was revoked before the round closed",
           stored.site(), stored.digest());
    return true;
  };
  EraseIf(state_.mutable_carried(), excluded);
  // What a round is being aggregated from was decided at its close, and stays.
  const RoundEvent::Phase phase = PhaseBehindPause(state_);
  if (phase != RoundEvent::OPEN && phase != RoundEvent::FORMING) return;
  EraseIf(state_.mutable_current()->mutable_cohort(), gone);
  EraseIf(state_.mutable_current()->mutable_contributions(), excluded);
}

}  // namespace weft
