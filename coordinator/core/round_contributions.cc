// What sites send in a round: contributions and reports.
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/inclusion.h"
#include "coordinator/core/message_lists.h"
#include "coordinator/core/round_machine.h"
#include "proto/round_schedule.h"

namespace weft {

void RoundMachine::On(const ContributionArrived& event) {
  if (IsAsynchronous(manifest_.consensus())) return TakeInTurn(event);
  const StoredContribution& arrived = event.contribution;
  const StoredContribution* stored = FindStored(state_, arrived.site());
  if (stored != nullptr && IsOfThisWork(state_, event.round)) {
    if (stored->digest() == arrived.digest()) return effects_.push_back(Accept{stored->digest()});
    return RefuseCall(arrived.site(), Refusal::ANOTHER_STORED,
                      absl::StrCat("another contribution (", ShortHex(stored->digest()),
                                   ") is stored for round ", event.round));
  }
  if (!TakesWorkOf(state_, event.round)) {
    return Carry(arrived, event.round, event.signed_contribution);
  }
  if (!Contains(state_.current().cohort(), arrived.site())) {
    return RefuseCall(arrived.site(), Refusal::NOT_IN_COHORT,
                      absl::StrCat("not in the cohort of round ", event.round));
  }
  StoredContribution fresh = arrived;
  fresh.set_base_version(state_.consensus().version());
  fresh.set_base_digest(state_.consensus().digest());
  Store(fresh, event.round, event.signed_contribution);
  CloseIfComplete();
}

// A contribution of the open round, or, when its base is older, of one that is closed.
void RoundMachine::Store(const StoredContribution& arrived, uint64_t round,
                         const std::string& signed_bytes) {
  const bool in_turn = IsAsynchronous(manifest_.consensus());
  const bool late = in_turn || !TakesWorkOf(state_, round);
  auto* list = late ? state_.mutable_carried() : state_.mutable_current()->mutable_contributions();
  StoredContribution* entry = list->Add();
  *entry = arrived;
  entry->set_round(round);
  entry->set_stored_unix_ms(state_.now_unix_ms());
  if (!in_turn) {  // without a barrier the order in which they came is what counts
    SortBy(list,
           [](const StoredContribution& c) { return std::make_pair(c.site(), c.base_version()); });
  }
  Receipt receipt;
  receipt.set_site(arrived.site());
  receipt.set_round(round);
  receipt.set_base_version(arrived.base_version());
  receipt.set_fragment(state_.current().fragment());
  receipt.set_digest(arrived.digest());
  receipt.set_signed_contribution(signed_bytes);
  effects_.push_back(KeepReceipt{std::move(receipt)});
  std::string words =
      absl::StrCat(arrived.bytes(), " bytes, norm ", arrived.update_norm(), ", ",
                   arrived.inner_steps(), " steps, ", arrived.token_count(), " tokens");
  if (late && !in_turn) {
    absl::StrAppend(&words, "; round ", round, " is closed: it counts in the next one that closes");
  }
  Decide(late && !in_turn ? Decision::CONTRIBUTION_CARRIED : Decision::CONTRIBUTION_STORED,
         std::move(words), arrived.site(), arrived.digest());
  effects_.push_back(Accept{arrived.digest()});
  effects_.push_back(Announce{});
}

// Of two contributions of a site for a base only the first counts.
bool RoundMachine::AnswerIfStored(const StoredContribution& arrived,
                                  const StoredContribution& stored) {
  if (stored.site() != arrived.site() || stored.base_version() != arrived.base_version()) {
    return false;
  }
  if (stored.digest() == arrived.digest()) {
    effects_.push_back(Accept{stored.digest()});
  } else {
    RefuseCall(arrived.site(), Refusal::ANOTHER_STORED,
               absl::StrCat("another contribution (", ShortHex(stored.digest()),
                            ") is stored for base version ", stored.base_version()));
  }
  return true;
}

// What was decided about is not taken again: a second stream may bring it after its round has
// ended.
bool RoundMachine::AnswerIfDecided(const StoredContribution& arrived) {
  const ContributionOutcome* outcome = FindOutcome(state_, arrived.site());
  if (outcome == nullptr || arrived.base_version() > outcome->base_version()) return false;
  if (arrived.digest() == outcome->digest()) {
    effects_.push_back(Accept{outcome->digest()});
  } else {
    RefuseCall(arrived.site(), Refusal::ANOTHER_STORED,
               absl::StrCat("a contribution (", ShortHex(outcome->digest()), ") from base version ",
                            outcome->base_version(), " has been decided about"));
  }
  return true;
}

void RoundMachine::Carry(const StoredContribution& arrived, uint64_t round,
                         const std::string& signed_bytes) {
  for (const StoredContribution& c : state_.carried()) {
    if (AnswerIfStored(arrived, c)) return;
  }
  if (AnswerIfDecided(arrived)) return;
  const bool all_done = state_.rounds_done() == manifest_.rounds().round_count();
  if (all_done || state_.phase() == RoundEvent::HALTED) {
    return RefuseCall(arrived.site(), Refusal::WRONG_ROUND,
                      absl::StrCat("round ", round, " is closed: ", state_.reason()));
  }
  const Refusal refusal = CheckLate(manifest_, state_, arrived.site(), round,
                                    arrived.base_version(), arrived.base_digest());
  if (IsRefused(refusal)) return RefuseCall(arrived.site(), refusal.code(), refusal.reason());
  Store(arrived, round, signed_bytes);
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
    if (release.round() != round) continue;
    EraseIf(release.mutable_awaited(), [&](const std::string& site) { return site == event.site; });
  }
  StartDueReleases();
}

}  // namespace weft
