// How a site follows the coordinator's rounds: which work it begins, goes on with, or gives up.
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "worker/core/site_machine.h"

namespace weft::site {
namespace {

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

bool SameRound(const RoundEvent& a, const RoundEvent& b) {
  return a.round() == b.round() && a.base_digest() == b.base_digest();
}

}  // namespace

SiteMachine::Effects SiteMachine::Follow(const RoundEvent& now, bool drive_again) {
  silent_since_ms_ = -1;
  if (now.refusal().code() != Refusal::NONE) return On(Refused{Operation::kWatch, now.refusal()});
  const MessageContext& context = now.context();
  if (context.run_id() != state_.run_id()) {
    return {Fail{absl::StrCat("the coordinator speaks of run '", context.run_id(),
                              "', this site accepted '", state_.run_id(), "'")}};
  }
  if (!HasTheFragments(now)) {
    return {Fail{absl::StrCat("the round is of fragment ", context.fragment(), " of ",
                              context.fragment_count(), ", and names ", now.fragments_size(),
                              "; in the accepted manifest the vector has ", scheme_.fragments)}};
  }
  if (context.coordinator_epoch() < state_.coordinator_epoch()) {
    return {Fail{absl::StrCat("the coordinator went back from epoch ", state_.coordinator_epoch(),
                              " to ", context.coordinator_epoch())}};
  }
  // After a take-over the session is void.
  if (context.coordinator_epoch() > state_.coordinator_epoch()) return {JoinRun{}};
  Effects effects = TakeOutcome(now);
  for (SiteEffect& effect : FollowPhase(now, drive_again)) effects.push_back(std::move(effect));
  return effects;
}

bool SiteMachine::HasTheFragments(const RoundEvent& now) const {
  const MessageContext& context = now.context();
  if (context.fragment_count() != scheme_.fragments || context.fragment() >= scheme_.fragments)
    return false;
  const bool used = now.phase() == RoundEvent::OPEN || now.phase() == RoundEvent::FINISHED;
  return !used || scheme_.fragments == 1 ||
         now.fragments_size() == static_cast<int>(scheme_.fragments);
}

SiteMachine::Effects SiteMachine::FollowPhase(const RoundEvent& now, bool drive_again) {
  switch (now.phase()) {
    case RoundEvent::OPEN:
      return FollowOpen(now, drive_again);
    case RoundEvent::PAUSED:
      // No deadline passes; the next open round names a new one.
      if (state_.stage() == GateState::TRAINING) {
        state_.mutable_round()->clear_deadline_unix_ms();
        state_.mutable_round()->clear_cut_unix_ms();
      }
      drive_at_next_event_ = drive_again;
      return {};
    case RoundEvent::FINISHED:
      return BeginFinish(now, drive_again);
    case RoundEvent::HALTED:
      return {Fail{absl::StrCat("the coordinator halted the run: ", now.reason())}};
    default:
      // A gate that starts again now goes on with its stage when a round is open.
      drive_at_next_event_ = drive_again;
      return {};
  }
}

SiteMachine::Effects SiteMachine::FollowOpen(const RoundEvent& now, bool drive_again) {
  if (state_.stage() == GateState::WAITING) return Begin(now);
  if (scheme_.asynchronous && state_.stage() == GateState::DONE && state_.outcome_awaited()) {
    // It waits for its turn. An event that does not know of it may have been on its way when it was
    // stored; but not the one of a reply to joining: that coordinator has lost it, and gets the
    // same bytes again.
    if (!drive_again || now.contribution_stored()) return {};
    state_.set_stage(GateState::FORMING);
    return Drive();
  }
  if (!SameWork(now)) {
    if (!MayStillCount(now)) return Begin(now);
    if (scheme_.asynchronous) TakeDeadline(now);
    return drive_again ? Drive() : Effects{};
  }
  if (now.round() != state_.round().round() && !scheme_.asynchronous)
    return FollowReopened(now, drive_again);
  // A site that came too late for the round is invited when the round is extended.
  if (state_.round().contribution_stored() && !now.contribution_stored()) return Begin(now);
  // And an extension asks again: what could not be sent then may be trained, and sent, now. Not
  // where a contribution from this base was decided about; one from a base before says nothing.
  const bool decided = IsDecided() && state_.contribution_version() == now.context().base_version();
  if (state_.stage() == GateState::DONE && !now.contribution_stored() && !decided &&
      now.deadline_unix_ms() > state_.round().deadline_unix_ms()) {
    return Begin(now);
  }
  TakeDeadline(now);
  if (now.contribution_stored() && state_.stage() < GateState::REPORTING) {
    if (state_.stage() != GateState::PUSHING)
      return EndRound("the contribution was stored already");
    // That one, or the one that was lost: the reply to the push says which.
    if (state_.has_lost()) return drive_again ? Drive() : Effects{};
    state_.set_outcome_awaited(!IsDecided());
    state_.set_stage(GateState::REPORTING);  // The reply to the push was lost.
    return Drive();
  }
  return drive_again ? Drive() : Effects{};
}

// The same work: with a barrier that of the round, or of rounds before it that were given up.
// Without one, rounds pass while a site trains, each closed by somebody, and its work is its base:
// trained from once.
bool SiteMachine::SameWork(const RoundEvent& now) const {
  const RoundEvent& mine = state_.round();
  if (now.base_digest() != mine.base_digest()) return false;
  return scheme_.asynchronous ? now.context().base_version() == mine.context().base_version()
                              : WorkOf(now) == WorkOf(mine);
}

void SiteMachine::TakeDeadline(const RoundEvent& now) {
  state_.mutable_round()->set_deadline_unix_ms(now.deadline_unix_ms());
  state_.mutable_round()->set_cut_unix_ms(now.cut_unix_ms());
}

// A round was given up, and this one asks for the same work from the same base: what is under way
// goes on, what was formed is signed again under the new number.
SiteMachine::Effects SiteMachine::FollowReopened(const RoundEvent& now, bool drive_again) {
  switch (state_.stage()) {
    case GateState::FETCHING:
    case GateState::TRAINING:
      if (now.contribution_stored()) return Begin(now);
      *state_.mutable_round() = now;
      return drive_again ? Drive() : Effects{};
    case GateState::REPORTING:
      *state_.mutable_round() = now;
      return drive_again ? Drive() : Effects{};
    default:
      return Begin(now);
  }
}

// Where late contributions are carried, work whose round went on without it is still done and sent,
// as long as it is not too old; the site then goes on from the newest consensus.
bool SiteMachine::MayStillCount(const RoundEvent& now) const {
  const GateState::Stage stage = state_.stage();
  if (stage < GateState::TRAINING || stage > GateState::REPORTING) return false;
  // The reply to the push was lost, and meanwhile it has been decided about.
  if (stage == GateState::PUSHING && IsDecided()) return false;
  const uint64_t base = state_.round().context().base_version();
  const uint64_t newest = now.context().base_version();
  return newest > base && newest - base <= now.late_staleness_max();
}

SiteMachine::Effects SiteMachine::Begin(const RoundEvent& now) {
  *state_.mutable_round() = now;
  const std::string base = Hex(now.base_digest());
  const bool formed_before = IsOfTheWorkAtHand(state_) && state_.result().base_digest() == base &&
                             state_.result().round() == WorkOf(now);
  state_.clear_outcome();
  if (now.contribution_stored())
    return EndRound("nothing is wanted from this site: " + now.reason());
  if (formed_before) {
    // The round before was given up and opened again from the same base: the same bytes under the
    // new round's number.
    state_.set_stage(GateState::FORMING);
  } else {
    state_.set_stage(GateState::FETCHING);
  }
  return Drive();
}

SiteMachine::Effects SiteMachine::BeginFinish(const RoundEvent& now, bool drive_again) {
  if (state_.stage() == GateState::FINISHED) return drive_again ? Drive() : Effects{};
  const bool begun = state_.stage() == GateState::FINISHING && SameRound(now, state_.round());
  if (begun && !drive_again) return {};
  *state_.mutable_round() = now;
  state_.set_stage(GateState::FINISHING);
  return Drive();
}

SiteMachine::Effects SiteMachine::Drive() {
  const RoundEvent& round = state_.round();
  switch (state_.stage()) {
    case GateState::TRAINING:
      // A restart looks whether the base is still whole: a worker that cannot read it only dies.
      state_.set_stage(GateState::FETCHING);
      [[fallthrough]];
    case GateState::FETCHING:
    case GateState::FINISHING: {
      const bool delta =
          scheme_.fragments > 1 ||
          (!round.delta_digest().empty() && Hex(round.delta_base_digest()) == state_.held_digest());
      return {FetchBase{round, delta}};
    }
    case GateState::FORMING:
      return {FormingOf(state_)};
    case GateState::PUSHING:
      return {PushContribution{round}};
    case GateState::REPORTING:
      return {SendReport{round, state_.result()}};
    case GateState::FINISHED: {
      const std::string why = absl::StrCat("the run is finished: ", round.round_count(), " rounds");
      return {RecordFinal{round, state_.held_digest()}, StopWorker{why}, LeaveRun{why}, Finish{}};
    }
    default:
      return {};
  }
}

SiteMachine::Effects SiteMachine::EndRound(std::string outcome) {
  state_.set_stage(GateState::DONE);
  state_.set_outcome(std::move(outcome));
  return {};
}

}  // namespace weft::site
