#include "worker/core/site_machine.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace weft::site {
namespace {

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

// Refusals of one round's business. Everything else that is refused would be refused again: it ends
// the gate.
bool ConcernsOneRound(Refusal::Code code) {
  switch (code) {
    case Refusal::WRONG_ROUND:
    case Refusal::NOT_IN_COHORT:
    case Refusal::NOT_FINITE:
    case Refusal::NORM_TOO_LARGE:
    case Refusal::ANOTHER_STORED:
    case Refusal::TOO_FEW_STEPS:
    case Refusal::UNKNOWN_BLOB:
    case Refusal::RUN_ENDED:  // a site that came last still fetches the final consensus
      return true;
    default:
      return false;
  }
}

std::string Words(const Refusal& refusal) {
  return absl::StrCat(Refusal::Code_Name(refusal.code()), ": ", refusal.reason());
}

}  // namespace

absl::string_view OperationName(Operation operation) {
  switch (operation) {
    case Operation::kJoin:
      return "join";
    case Operation::kWatch:
      return "watch";
    case Operation::kPull:
      return "pull";
    case Operation::kPush:
      return "push";
    case Operation::kReport:
      return "report";
    case Operation::kLeave:
      return "leave";
  }
  return "unknown";
}

std::vector<SiteEffect> SiteMachine::Step(const SiteEvent& event) {
  return std::visit([this](const auto& e) { return On(e); }, event);
}

SiteMachine::Effects SiteMachine::On(const Started&) { return {JoinRun{}}; }

SiteMachine::Effects SiteMachine::On(const Joined& joined) {
  if (joined.context.coordinator_epoch() < state_.coordinator_epoch()) {
    return {Fail{absl::StrCat("the coordinator serves epoch ", joined.context.coordinator_epoch(),
                              ", this site has already followed epoch ", state_.coordinator_epoch(),
                              ": an older copy of the coordinator's state is being served")}};
  }
  state_.set_coordinator_epoch(joined.context.coordinator_epoch());
  state_.set_session_id(joined.context.session_id());
  clock_is_new_ = true;
  return Follow(joined.now, /*drive_again=*/true);
}

SiteMachine::Effects SiteMachine::On(const RoundChanged& changed) {
  const bool again = drive_at_next_event_;
  drive_at_next_event_ = false;
  return Follow(changed.now, again);
}

SiteMachine::Effects SiteMachine::On(const BaseFetched& fetched) {
  if (fetched.digest != Hex(state_.round().base_digest())) return {};
  if (state_.stage() == GateState::FINISHING) {
    state_.set_held_digest(fetched.assembled.empty() ? fetched.digest : fetched.assembled);
    state_.set_stage(GateState::FINISHED);
    return Drive();
  }
  if (state_.stage() != GateState::FETCHING) return {};
  state_.set_held_digest(fetched.digest);
  if (!scheme_.dual) return Order("");
  const double now = state_.round().rho() > 0 ? state_.round().rho() : scheme_.rho;
  const double before = state_.dual_rho();
  return {PrepareDual{state_.round(), state_.dual_digest(), state_.counted_vector(),
                      now > 0 && before > 0 ? before / now : 1}};
}

SiteMachine::Effects SiteMachine::On(const DualReady& ready) {
  if (state_.stage() != GateState::FETCHING || ready.base != Hex(state_.round().base_digest()))
    return {};
  state_.set_dual_digest(ready.dual);
  state_.set_dual_rho(state_.round().rho() > 0 ? state_.round().rho() : scheme_.rho);
  state_.clear_counted_vector();
  return Order(ready.anchor);
}

SiteMachine::Effects SiteMachine::Order(std::string anchor) {
  const RoundEvent& round = state_.round();
  state_.set_anchor_digest(std::move(anchor));
  state_.set_stage(GateState::TRAINING);
  cut_work_ = UINT64_MAX;  // the order is written anew, without the cut
  std::vector<std::string> keep = {Hex(round.base_digest())};
  for (const FragmentVersion& fragment : round.fragments()) keep.push_back(Hex(fragment.digest()));
  return {WriteOrder{round}, CleanUp{WorkOf(round), std::move(keep), OwnVectors()}};
}

SiteMachine::Effects SiteMachine::On(const ResultSeen& seen) {
  if (state_.stage() != GateState::TRAINING || seen.result.round() != WorkOf(state_.round()))
    return {};
  state_.set_work_count(state_.work_count() + 1);
  if (seen.result.base_digest() != Hex(state_.round().base_digest())) {
    return EndRound(
        absl::StrCat("nothing sent: the worker's result is of base ", seen.result.base_digest()));
  }
  SettleUndecided();
  *state_.mutable_result() = seen.result;
  state_.set_stage(GateState::FORMING);
  return Drive();
}

SiteMachine::Effects SiteMachine::On(const ResultUnusable& unusable) {
  if (state_.stage() < GateState::TRAINING || state_.stage() > GateState::PUSHING) return {};
  Effects effects = EndRound(absl::StrCat("nothing sent: ", unusable.reason));
  if (IsOfTheWorkAtHand(state_)) state_.set_outcome_awaited(false);
  state_.clear_result();
  effects.push_back(DiscardResult{WorkOf(state_.round())});
  effects.push_back(Warn{absl::StrCat("round ", state_.round().round(),
                                      ": the worker's result cannot be sent: ", unusable.reason)});
  return effects;
}

SiteMachine::Effects SiteMachine::On(const ContributionFormed& formed) {
  if (state_.stage() != GateState::FORMING) return {};
  if (IsOfTheWorkAtHand(state_)) {
    if (state_.contribution_blob() == formed.blob_digest) {
      state_.set_stage(GateState::PUSHING);
      return Drive();
    }
    if (state_.has_lost()) return GiveUpWork(formed);
    KeepLost();
  } else {
    state_.clear_lost();
  }
  state_.set_contribution_version(state_.round().context().base_version());
  state_.set_contribution_fragment(state_.round().context().fragment());
  state_.set_contribution_vector(state_.result().vector_digest());
  state_.set_residual_next(formed.residual);
  state_.set_sent_next(formed.sent);
  state_.set_contribution_base(Hex(state_.round().base_digest()));
  state_.set_contribution_work(WorkOf(state_.round()));
  state_.set_contribution_blob(formed.blob_digest);
  state_.set_contribution_bytes(formed.blob_bytes);
  state_.set_contribution_primal_residual(formed.primal_residual);
  state_.set_stage(GateState::PUSHING);
  Effects effects = Drive();
  if (state_.has_lost()) {
    effects.push_back(Warn{absl::StrCat("contribution ", state_.lost().blob(),
                                        " was formed before and is lost; the coordinator has "
                                        "none of this base, and gets ",
                                        formed.blob_digest, " instead")});
  }
  return effects;
}

SiteMachine::Effects SiteMachine::GiveUpWork(const ContributionFormed& formed) {
  const std::string why = absl::StrCat(
      "nothing sent: of base ", state_.contribution_base(), " contributions ", state_.lost().blob(),
      " and ", state_.contribution_blob(), " were formed before and are lost, now it would be ",
      formed.blob_digest, "; the site goes on with the next consensus");
  state_.set_outcome_awaited(false);
  EndRound(why);
  return {Warn{absl::StrCat("round ", state_.round().round(), ": ", why)}};
}

SiteMachine::Effects SiteMachine::On(const ContributionStored& stored) {
  if (state_.stage() != GateState::PUSHING) return {};
  if (stored.receipt_digest != state_.contribution_blob()) {
    return {Fail{absl::StrCat("the coordinator's receipt names ", stored.receipt_digest,
                              ", sent was ", state_.contribution_blob())}};
  }
  state_.set_outcome_awaited(!IsDecided());
  state_.set_stage(GateState::REPORTING);
  return Drive();
}

SiteMachine::Effects SiteMachine::On(const Reported&) {
  return state_.stage() == GateState::REPORTING ? EndRound("stored") : Effects{};
}

SiteMachine::Effects SiteMachine::On(const Refused& refused) {
  const std::string words = Words(refused.refusal);
  const bool joining =
      refused.operation == Operation::kJoin || refused.operation == Operation::kWatch;
  if (refused.operation == Operation::kLeave) return {};
  if (refused.refusal.code() == Refusal::SESSION_REPLACED) {
    return {Fail{
        absl::StrCat(words, " (another gate of this site has joined; the newest one goes on)")}};
  }
  if (joining || !ConcernsOneRound(refused.refusal.code())) {
    return {Fail{absl::StrCat("the coordinator refused the ", OperationName(refused.operation),
                              ": ", words)}};
  }
  const Warn warning{absl::StrCat("round ", state_.round().round(), ": ",
                                  OperationName(refused.operation), " refused: ", words)};
  if (refused.operation == Operation::kPull) {
    drive_at_next_event_ =
        true;  // The consensus moved on while it was fetched; the next event names the new one.
    return {warning};
  }
  if (refused.refusal.code() == Refusal::ANOTHER_STORED && state_.has_lost()) {
    TakeLostBack();
    state_.set_outcome_awaited(!IsDecided());
    state_.set_stage(GateState::REPORTING);
    Effects effects = Drive();
    effects.push_back(warning);
    return effects;
  }
  // It is not stored, whatever was known of it.
  if (refused.operation == Operation::kPush) state_.set_outcome_awaited(false);
  Effects effects = refused.operation == Operation::kPush
                        ? EndRound(absl::StrCat("refused: ", words))
                        : EndRound(absl::StrCat("stored; report refused: ", words));
  effects.push_back(warning);
  return effects;
}

SiteMachine::Effects SiteMachine::On(const OperationFailed& failed) {
  if (failed.operation == Operation::kLeave) return {};
  return {Fail{absl::StrCat("the ", OperationName(failed.operation), " failed: ", failed.reason)}};
}

SiteMachine::Effects SiteMachine::On(const ConnectionLost& lost) {
  if (silent_since_ms_ < 0) silent_since_ms_ = now_ms_;
  silence_reason_ = lost.reason;
  return {};
}

SiteMachine::Effects SiteMachine::On(const WorkerGone& gone) {
  if (state_.stage() >= GateState::FINISHING) return {};
  return {Fail{absl::StrCat("the worker is gone: ", gone.reason)}};
}

SiteMachine::Effects SiteMachine::On(const TimeAdvanced& time) {
  if (clock_is_new_ && silent_since_ms_ >= 0) silent_since_ms_ = time.unix_ms;
  now_ms_ = clock_is_new_ ? time.unix_ms : std::max(now_ms_, time.unix_ms);
  clock_is_new_ = false;
  if (silent_since_ms_ >= 0 && now_ms_ - silent_since_ms_ > limits_.silence_ms_max) {
    return {Fail{absl::StrCat("no word from the coordinator for ",
                              (now_ms_ - silent_since_ms_) / 1000, " s: ", silence_reason_)}};
  }
  if (state_.stage() != GateState::TRAINING) return {};
  const RoundEvent& round = state_.round();
  if (round.cut_unix_ms() > 0 && now_ms_ >= round.cut_unix_ms() && cut_work_ != WorkOf(round)) {
    cut_work_ = WorkOf(round);
    return {CutOrder{round}};
  }
  if (round.deadline_unix_ms() > 0 && now_ms_ > round.deadline_unix_ms() &&
      warned_late_round_ != round.round()) {
    warned_late_round_ = round.round();
    return {Warn{absl::StrCat("round ", round.round(),
                              ": its deadline has passed and the worker has no result yet; "
                              "the coordinator may go on without this site")}};
  }
  return {};
}

}  // namespace weft::site
