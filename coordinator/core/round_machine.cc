#include "coordinator/core/round_machine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/influence.h"
#include "proto/check.h"

namespace weft {
namespace {

// A gate reports right after its push; the training log waits so long for those that come after the
// round has closed.
constexpr int64_t kReportWaitMs = 5000;

template <typename Field>
bool Contains(const Field& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Keeps a repeated field of messages in the order of `key`.
template <typename Field, typename Key>
void SortBy(Field* field, Key key) {
  std::sort(field->begin(), field->end(),
            [key](const auto& a, const auto& b) { return key(a) < key(b); });
}

template <typename Field, typename Predicate>
void EraseIf(Field* field, Predicate predicate) {
  field->erase(std::remove_if(field->begin(), field->end(), predicate), field->end());
}

}  // namespace

std::string ShortHex(absl::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), std::min<size_t>(bytes.size(), 4)));
}

RoundState RoundMachine::InitialState(const RunManifest& manifest, const Membership& membership,
                                      const ConsensusVersion& consensus) {
  RoundState state;
  state.set_coordinator_epoch(1);
  *state.mutable_consensus() = consensus;
  *state.mutable_membership() = membership;
  state.set_phase(RoundEvent::FORMING);
  state.set_reason(absl::StrCat("round 0 waits for ", manifest.rounds().sites_to_start(),
                                " sites: none has joined"));
  state.mutable_current()->set_base_version(consensus.version());
  state.mutable_current()->set_base_digest(consensus.digest());
  PendingRelease* release = state.add_releases();
  release->set_version(consensus.version());
  release->set_digest(consensus.digest());
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
  CloseOrExtendAtDeadline();
  StartDueReleases();
}

void RoundMachine::On(const CoordinatorStarted& event) {
  state_.set_now_unix_ms(std::max(state_.now_unix_ms(), event.unix_ms));
  for (SiteState& site : *state_.mutable_sites()) site.set_connected(false);
  for (PendingRelease& release : *state_.mutable_releases()) release.set_started(false);
  Decide(Decision::COORDINATOR_STARTED, absl::StrCat("goes on at: ", state_.reason()));
  effects_.push_back(RemoveUnneeded{});
  StartDueReleases();
  const bool all_done = state_.current().round() == manifest_.rounds().round_count();
  if (state_.phase() == RoundEvent::AGGREGATING && !all_done) {
    effects_.push_back(RunOuterStep{state_.current(), state_.consensus()});
  }
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
  }
  if (!problem.empty()) {
    return Decide(Decision::MEMBERSHIP_REFUSED,
                  absl::StrCat("the membership is not taken: ", problem));
  }
  *state_.mutable_membership() = event.membership;
  Decide(Decision::MEMBERSHIP_CHANGED,
         absl::StrCat("version ", event.membership.version(), " is in force"));
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
  // What a round is being aggregated from was decided at its close, and stays.
  if (state_.phase() != RoundEvent::OPEN) return;
  RoundRecord* round = state_.mutable_current();
  EraseIf(round->mutable_cohort(), gone);
  EraseIf(round->mutable_contributions(), [&](const StoredContribution& stored) {
    if (!gone(stored.site())) return false;
    Decide(Decision::CONTRIBUTION_EXCLUDED, "its site was revoked before the round closed",
           stored.site(), stored.digest());
    return true;
  });
}

void RoundMachine::On(const ContributionArrived& event) {
  const StoredContribution& arrived = event.contribution;
  const StoredContribution* stored = FindStored(state_, arrived.site());
  if (stored != nullptr && event.round == state_.current().round()) {
    if (stored->digest() == arrived.digest()) return effects_.push_back(Accept{stored->digest()});
    return RefuseCall(arrived.site(), Refusal::ANOTHER_STORED,
                      absl::StrCat("another contribution (", ShortHex(stored->digest()),
                                   ") is stored for round ", event.round));
  }
  if (state_.phase() != RoundEvent::OPEN || event.round != state_.current().round()) {
    return RefuseCall(arrived.site(), Refusal::WRONG_ROUND,
                      absl::StrCat("round ", event.round, " is closed"));
  }
  if (!Contains(state_.current().cohort(), arrived.site())) {
    return RefuseCall(arrived.site(), Refusal::NOT_IN_COHORT,
                      absl::StrCat("not in the cohort of round ", event.round));
  }
  StoredContribution* entry = state_.mutable_current()->add_contributions();
  *entry = arrived;
  entry->set_stored_unix_ms(state_.now_unix_ms());
  SortBy(state_.mutable_current()->mutable_contributions(),
         [](const StoredContribution& c) { return c.site(); });
  Receipt receipt;
  receipt.set_site(arrived.site());
  receipt.set_round(event.round);
  receipt.set_base_version(state_.consensus().version());
  receipt.set_digest(arrived.digest());
  receipt.set_signed_contribution(event.signed_contribution);
  effects_.push_back(KeepReceipt{std::move(receipt)});
  Decide(Decision::CONTRIBUTION_STORED,
         absl::StrCat(arrived.bytes(), " bytes, norm ", arrived.update_norm(), ", ",
                      arrived.inner_steps(), " steps, ", arrived.token_count(), " tokens"),
         arrived.site(), arrived.digest());
  effects_.push_back(Accept{arrived.digest()});
  effects_.push_back(Announce{});
  CloseIfComplete();
}

void RoundMachine::On(const CallRefused& event) {
  RefuseCall(event.site, event.refusal.code(), event.refusal.reason());
}

void RoundMachine::On(const ReportReceived& event) {
  const uint64_t round = event.report.round();
  if (round > state_.current().round()) {
    return RefuseCall(event.site, Refusal::WRONG_ROUND,
                      absl::StrCat("a report of round ", round, ", which has not begun"));
  }
  if (round == state_.current().round() && !Contains(state_.current().reported(), event.site)) {
    state_.mutable_current()->add_reported(event.site);
  }
  SiteReport report;
  report.set_site(event.site);
  *report.mutable_report() = event.report;
  effects_.push_back(KeepReport{std::move(report)});
  Decide(Decision::REPORT_STORED, absl::StrCat("report of round ", round), event.site);
  effects_.push_back(Accept{});
  for (PendingRelease& release : *state_.mutable_releases()) {
    if (release.version() != round + 1) continue;
    EraseIf(release.mutable_awaited(), [&](const std::string& site) { return site == event.site; });
  }
  StartDueReleases();
}

void RoundMachine::On(const OuterStepDone& event) {
  WEFT_CHECK(state_.phase() == RoundEvent::AGGREGATING && event.round == state_.current().round());
  WEFT_CHECK(event.result.version() == state_.consensus().version() + 1);
  Decide(Decision::OUTER_STEP_DONE, absl::StrCat("consensus version ", event.result.version()), {},
         event.result.digest());
  RoundRecord done = std::move(*state_.mutable_current());
  done.set_done_unix_ms(state_.now_unix_ms());
  done.set_result_digest(event.result.digest());
  done.set_result_bytes(event.result.bytes());
  done.set_down_bytes(event.result.delta_bytes());
  *state_.mutable_consensus() = event.result;

  const uint64_t next = event.round + 1;
  const bool last = next == manifest_.rounds().round_count();
  const uint32_t every = manifest_.rounds().publish_every();
  if (last || (every != 0 && event.result.version() % every == 0)) {
    PendingRelease* release = state_.add_releases();
    release->set_version(event.result.version());
    release->set_digest(event.result.digest());
    release->set_wait_until_unix_ms(state_.now_unix_ms() + kReportWaitMs);
    for (const StoredContribution& c : done.contributions()) {
      if (!Contains(done.reported(), c.site())) release->add_awaited(c.site());
    }
  }
  effects_.push_back(KeepRound{std::move(done)});
  state_.clear_current();
  state_.mutable_current()->set_round(next);
  state_.mutable_current()->set_base_version(event.result.version());
  state_.mutable_current()->set_base_digest(event.result.digest());
  effects_.push_back(RemoveUnneeded{});
  StartDueReleases();
  if (last) {
    state_.set_reason("all rounds are done; the last release is being published");
    effects_.push_back(Announce{});
    return;
  }
  state_.set_phase(RoundEvent::FORMING);
  OpenOrWait();
}

void RoundMachine::On(const OuterStepFailed& event) {
  Enter(RoundEvent::HALTED, Decision::RUN_HALTED,
        absl::StrCat("the outer step of round ", event.round, " failed: ", event.reason));
}

void RoundMachine::On(const ReleasePublished& event) {
  EraseIf(state_.mutable_releases(),
          [&](const PendingRelease& release) { return release.version() == event.version; });
  Decide(Decision::RELEASE_PUBLISHED,
         absl::StrCat("consensus version ", event.version, " is published"));
  effects_.push_back(RemoveUnneeded{});
  FinishIfPublished();
}

}  // namespace weft
