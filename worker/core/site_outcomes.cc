// What becomes of a contribution, and of what it leaves behind at its site: the residual of its
// encoding, and with a dual what the coordinator then has.
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/round_schedule.h"
#include "worker/core/site_machine.h"

namespace weft::site {
namespace {

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

bool SameOutcome(const ContributionOutcome& a, const ContributionOutcome& b) {
  return a.digest() == b.digest() && a.base_version() == b.base_version() &&
         a.included() == b.included() && a.counted_in() == b.counted_in();
}

}  // namespace

SiteScheme SchemeOf(const RunManifest& manifest) {
  const ConsensusScheme& consensus = manifest.consensus();
  return {.asynchronous = IsAsynchronous(consensus),
          .dual = consensus.dual(),
          .rho = consensus.rho(),
          .fragments = FragmentCount(consensus)};
}

std::string OutcomeWords(const ContributionOutcome& outcome) {
  if (outcome.digest().empty()) return "";
  const std::string which = absl::StrCat("contribution of round ", outcome.round());
  return outcome.included() ? absl::StrCat(which, " counted ", outcome.weight(), " in round ",
                                           outcome.counted_in())
                            : absl::StrCat(which, " was left out: ", outcome.reason());
}

bool IsOfTheWorkAtHand(const GateState& state) {
  return state.contribution_base() == Hex(state.round().base_digest()) &&
         state.contribution_work() == WorkOf(state.round());
}

FormContribution FormingOf(const GateState& state) {
  const bool before = IsOfTheWorkAtHand(state);
  const auto fragment = static_cast<int>(state.round().context().fragment());
  return {.round = state.round(),
          .result = state.result(),
          .residual = fragment < state.residual_digests_size() ? state.residual_digests(fragment)
                                                               : std::string(),
          .dual = state.dual_digest(),
          .sent = state.sent_digest(),
          .formed = before ? state.contribution_blob() : std::string(),
          .formed_primal_residual = before ? state.contribution_primal_residual() : 0};
}

SiteMachine::Effects SiteMachine::TakeOutcome(const RoundEvent& now) {
  const ContributionOutcome& outcome = now.outcome();
  if (outcome.digest().empty() || SameOutcome(outcome, state_.decided())) return {};
  *state_.mutable_decided() = outcome;
  const bool of_lost = state_.has_lost() && Hex(outcome.digest()) == state_.lost().blob() &&
                       outcome.base_version() == state_.contribution_version();
  if (of_lost) TakeLostBack();
  if (IsDecided()) {
    state_.set_outcome_awaited(false);
    if (outcome.included()) Count();
    state_.clear_residual_next();
    state_.clear_sent_next();
  }
  return {Note{OutcomeWords(outcome)}};
}

// The contribution formed last.
bool SiteMachine::IsDecided() const {
  const ContributionOutcome& decided = state_.decided();
  return !decided.digest().empty() && Hex(decided.digest()) == state_.contribution_blob() &&
         decided.base_version() == state_.contribution_version();
}

// Another takes its place; but it may have left, and be stored after all.
void SiteMachine::KeepLost() {
  LostContribution* lost = state_.mutable_lost();
  lost->set_blob(state_.contribution_blob());
  lost->set_bytes(state_.contribution_bytes());
  lost->set_vector(state_.contribution_vector());
  lost->set_residual_next(state_.residual_next());
  lost->set_sent_next(state_.sent_next());
  lost->set_primal_residual(state_.contribution_primal_residual());
}

// It is stored: what took its place never counts.
void SiteMachine::TakeLostBack() {
  const LostContribution lost = state_.lost();
  state_.clear_lost();
  state_.set_contribution_blob(lost.blob());
  state_.set_contribution_bytes(lost.bytes());
  state_.set_contribution_vector(lost.vector());
  state_.set_residual_next(lost.residual_next());
  state_.set_sent_next(lost.sent_next());
  state_.set_contribution_primal_residual(lost.primal_residual());
}

// Once: what a contribution becomes is cleared with it.
void SiteMachine::Count() {
  if (!state_.residual_next().empty()) {
    while (state_.residual_digests_size() <= static_cast<int>(state_.contribution_fragment()))
      state_.add_residual_digests();
    *state_.mutable_residual_digests(static_cast<int>(state_.contribution_fragment())) =
        std::move(*state_.mutable_residual_next());
  }
  if (!state_.sent_next().empty()) {
    state_.set_sent_digest(std::move(*state_.mutable_sent_next()));
    state_.set_counted_vector(state_.contribution_vector());
  }
  state_.clear_residual_next();
  state_.clear_sent_next();
}

// The next contribution is about to be formed, and nothing was heard of the one before. Stored
// late, it may still be carried into the round that the next one is for: then it is taken to count,
// so that what it carries of the residual is not sent again. (Should it be left out in the end,
// that part is lost; nothing counts twice.) Too old for that, it was lost: left out.
void SiteMachine::SettleUndecided() {
  if (!state_.outcome_awaited()) return;
  state_.set_outcome_awaited(false);
  const RoundEvent& round = state_.round();
  const uint64_t staleness = round.context().base_version() - state_.contribution_version();
  if (staleness > 0 && staleness <= round.late_staleness_max() && !scheme_.dual) Count();
}

// Those that the state names.
std::vector<std::string> SiteMachine::OwnVectors() const {
  std::vector<std::string> names(state_.residual_digests().begin(),
                                 state_.residual_digests().end());
  for (const std::string& digest :
       {state_.residual_next(), state_.dual_digest(), state_.sent_digest(), state_.sent_next(),
        state_.lost().residual_next(), state_.lost().sent_next()}) {
    names.push_back(digest);
  }
  std::erase(names, "");
  return names;
}

}  // namespace weft::site
