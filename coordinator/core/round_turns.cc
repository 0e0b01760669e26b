// Rounds without a barrier: every contribution closes a round of its own, in the order in which
// they came, and that order is the order of the rounds in the audit records. Those that come while
// a consensus is computed wait in `carried`.
#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/inclusion.h"
#include "coordinator/core/round_machine.h"

namespace weft {

void RoundMachine::TakeInTurn(const ContributionArrived& event) {
  const StoredContribution& arrived = event.contribution;
  for (const StoredContribution& c : state_.carried()) {
    if (AnswerIfStored(arrived, c)) return;
  }
  for (const StoredContribution& c : state_.current().contributions()) {
    if (AnswerIfStored(arrived, c)) return;
  }
  if (AnswerIfDecided(arrived)) return;
  const bool all_done = state_.rounds_done() == manifest_.rounds().round_count();
  if (all_done || state_.phase() == RoundEvent::HALTED) {
    return RefuseCall(arrived.site(), Refusal::WRONG_ROUND,
                      absl::StrCat("no more rounds are opened: ", state_.reason()));
  }
  const Refusal refusal = CheckLate(manifest_, state_, arrived.site(), event.round,
                                    arrived.base_version(), arrived.base_digest());
  if (IsRefused(refusal)) return RefuseCall(arrived.site(), refusal.code(), refusal.reason());
  Store(arrived, event.round, event.signed_contribution);
  CloseWithNext();
}

void RoundMachine::CloseWithNext() {
  if (state_.phase() != RoundEvent::OPEN || state_.carried().empty()) return;
  RoundRecord* round = state_.mutable_current();
  *round->add_contributions() = state_.carried(0);
  state_.mutable_carried()->erase(state_.carried().begin());
  const Inclusion inclusion = DecideInclusion(manifest_, state_);
  if (!inclusion.included.empty()) {
    return Close(absl::StrCat("it is the turn of ", round->contributions(0).site()));
  }
  // Left out: the round comes to nothing, and the same bytes get a new number, so that its site has
  // a base to work from that it has not contributed to.
  const ExcludedContribution& excluded = inclusion.excluded.front();
  *round->add_excluded() = excluded;
  round->clear_contributions();
  Decide(Decision::CONTRIBUTION_EXCLUDED, excluded.reason(), excluded.contribution().site(),
         excluded.contribution().digest());
  Abandon("its contribution was left out", /*anew=*/true);  // which opens the next one
}

}  // namespace weft
