// What becomes of a closed round: its outer step, the evaluation of its consensus, the next base,
// releases, the end of the run.
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/inclusion.h"
#include "coordinator/core/message_lists.h"
#include "coordinator/core/round_machine.h"
#include "proto/check.h"

namespace weft {
namespace {

// A gate reports right after its push; the training log waits so long for those that come after the
// round has closed.
constexpr int64_t kReportWaitMs = 5000;

// New work from the same base may well succeed; a base from which so many rounds failed is not
// good.
constexpr uint32_t kFailedStepsMax = 3;

}  // namespace

void RoundMachine::On(const OuterStepDone& event) {
  WEFT_CHECK(state_.phase() == RoundEvent::AGGREGATING && event.round == state_.current().round());
  WEFT_CHECK(event.result.version() == state_.consensus().version() + 1);
  Decide(Decision::OUTER_STEP_DONE, absl::StrCat("consensus version ", event.result.version()), {},
         event.result.digest());
  RoundRecord* round = state_.mutable_current();
  round->set_done_unix_ms(state_.now_unix_ms());
  round->set_result_digest(event.result.digest());
  round->set_result_bytes(event.result.bytes());
  round->set_down_bytes(event.result.delta_bytes());
  for (size_t k = 0; k < event.cosines.size(); ++k) {
    round->mutable_contributions(static_cast<int>(k))->set_cosine(event.cosines[k]);
  }
  if (manifest_.consensus().dual()) NoteResiduals(event);
  state_.set_failed_steps(0);
  if (manifest_.rounds().evaluation_seconds_max() > 0) return AwaitEvaluation(event.result);
  TakeConsensus(event.result);
}

void RoundMachine::On(const OuterStepFailed& event) {
  const std::string failed =
      absl::StrCat("the outer step of round ", event.round, " failed: ", event.reason);
  state_.set_failed_steps(state_.failed_steps() + 1);
  if (state_.failed_steps() < kFailedStepsMax) return Abandon(failed, /*anew=*/true);
  LoseBase(absl::StrCat(failed, " (", state_.failed_steps(), " times in a row from this base)"));
}

void RoundMachine::AwaitEvaluation(const ConsensusVersion& candidate) {
  *state_.mutable_candidate() = candidate;
  const int64_t wait_s = manifest_.rounds().evaluation_seconds_max();
  state_.set_deadline_unix_ms(state_.now_unix_ms() + 1000 * wait_s);
  Enter(RoundEvent::EVALUATING, Decision::EVALUATION_AWAITED,
        absl::StrCat("consensus version ", candidate.version(), " of round ",
                     state_.current().round(), " waits to be accepted or refused, at most ", wait_s,
                     " s"));
  effects_.push_back(Evaluate{candidate});
}

void RoundMachine::On(const EvaluationDone& event) {
  if (manifest_.rounds().evaluation_seconds_max() == 0) {
    return RefuseCommand("this run has no evaluation: rounds.evaluation_seconds_max is 0");
  }
  if (state_.phase() == RoundEvent::EVALUATING && event.version == state_.candidate().version()) {
    state_.mutable_current()->set_evaluation(event.reason);
    effects_.push_back(Accept{});
    if (!event.accepted) return RefuseCandidate(event.reason);
    *state_.mutable_last_good() = state_.candidate();
    Decide(Decision::CONSENSUS_ACCEPTED,
           absl::StrCat("consensus version ", event.version, " is accepted: ", event.reason), {},
           state_.candidate().digest());
    return TakeConsensus(state_.candidate());
  }
  const RoundEvent::Phase phase = PhaseBehindPause(state_);
  if ((phase == RoundEvent::FORMING || phase == RoundEvent::OPEN) &&
      event.version == state_.consensus().version()) {
    return EvaluateBase(event);
  }
  RefuseCommand(absl::StrCat(
      "consensus version ", event.version, " does not wait for an evaluation: ",
      state_.has_candidate() ? absl::StrCat("version ", state_.candidate().version(), " does")
                             : absl::StrCat("the base is version ", state_.consensus().version())));
}

// The evaluation of a consensus that rounds are based on already: it came after its deadline, or
// again.
void RoundMachine::EvaluateBase(const EvaluationDone& event) {
  effects_.push_back(Accept{});
  if (event.accepted) {
    *state_.mutable_last_good() = state_.consensus();
    return Decide(Decision::CONSENSUS_ACCEPTED,
                  absl::StrCat("consensus version ", event.version, " is accepted: ", event.reason),
                  {}, state_.consensus().digest());
  }
  Decide(Decision::CONSENSUS_REFUSED,
         absl::StrCat("consensus version ", event.version, " is refused: ", event.reason), {},
         state_.consensus().digest());
  LoseBase(absl::StrCat("its base was refused: ", event.reason));
}

void RoundMachine::EvaluationMissing() {
  const RoundRules& rules = manifest_.rounds();
  const bool accept = rules.evaluation_missing() == "accept";
  const std::string why =
      absl::StrCat("nobody evaluated it within ", rules.evaluation_seconds_max(),
                   " s; in that case the "
                   "manifest says ",
                   accept ? "accept" : "refuse");
  state_.mutable_current()->set_evaluation(why);
  if (!accept) return RefuseCandidate(why);
  Decide(Decision::CONSENSUS_ACCEPTED,
         absl::StrCat("consensus version ", state_.candidate().version(), " is taken: ", why), {},
         state_.candidate().digest());
  TakeConsensus(state_.candidate());
}

void RoundMachine::TakeConsensus(ConsensusVersion consensus) {
  KeepOlder();
  if (!state_.fragments().empty()) {
    *state_.mutable_fragments(static_cast<int>(state_.current().fragment())) = consensus;
  }
  *state_.mutable_consensus() = std::move(consensus);
  EndRound(/*work_done=*/true);
}

// The parts of the vector travel in turn; a version is a cut through all of them.
void RoundMachine::TurnToFragment() {
  const int count = state_.fragments_size();
  if (count == 0) return;
  const uint64_t version = state_.consensus().version();
  *state_.mutable_consensus() =
      state_.fragments(static_cast<int>(state_.rounds_done() % static_cast<uint64_t>(count)));
  state_.mutable_consensus()->set_version(version);
}

void RoundMachine::RefuseCandidate(const std::string& why) {
  const ConsensusVersion refused = state_.candidate();
  Decide(
      Decision::CONSENSUS_REFUSED,
      absl::StrCat("consensus version ", refused.version(), " is refused: ", why, "; version ",
                   refused.version() + 1, " is version ", state_.consensus().version(), " again"),
      {}, refused.digest());
  state_.mutable_current()->set_refused(true);
  GoBackTo(state_.consensus(), refused.version() + 1);
}

// Version numbers only grow: a return is a new version with the bytes of an older one, so that what
// is contributed to it is told from what was contributed then.
void RoundMachine::GoBackTo(ConsensusVersion good, uint64_t version) {
  KeepOlder();
  good.set_version(version);
  *state_.mutable_consensus() = std::move(good);
  state_.set_failed_steps(0);
  EndRound(/*work_done=*/true);
}

void RoundMachine::LoseBase(const std::string& why) {
  const ConsensusVersion& good = state_.last_good();
  if (!good.digest().empty() && good.digest() != state_.consensus().digest()) {
    DropWork(absl::StrCat(why, "; goes back to consensus version ", good.version()));
    return GoBackTo(good, state_.consensus().version() + 1);
  }
  state_.clear_pause();
  state_.set_deadline_unix_ms(0);
  Enter(RoundEvent::HALTED, Decision::RUN_HALTED, absl::StrCat(why, "; no good base is left"));
}

// Late contributions may come to it, and be combined against its bytes.
void RoundMachine::KeepOlder() {
  int kept = static_cast<int>(LateStalenessMax(manifest_.rounds()));
  if (kept == 0) return;
  // There a base has the number of the version after it (BaseOf).
  if (manifest_.consensus().asynchrony() == "elastic") ++kept;
  auto* older = state_.mutable_older();
  *older->Add() = state_.consensus();
  while (older->size() > kept) older->erase(older->begin());
}

void RoundMachine::EndRound(bool work_done) {
  const uint64_t done = state_.rounds_done() + (work_done ? 1 : 0);
  const bool last = done == manifest_.rounds().round_count();
  if (last) DropCarried(state_.mutable_current());
  RoundRecord ended = std::move(*state_.mutable_current());
  state_.clear_candidate();
  state_.set_deadline_unix_ms(0);
  if (work_done) {
    state_.set_rounds_done(done);
    NoteOutcomes(ended);
    TurnToFragment();
  }
  const uint32_t every = manifest_.rounds().publish_every();
  const bool due = work_done && !ended.abandoned() && !ended.refused() && every != 0 &&
                   state_.rounds_done() % every == 0;
  if (last || due) AddRelease(ended);

  RoundRecord next;
  next.set_round(ended.round() + 1);
  next.set_base_version(state_.consensus().version());
  next.set_base_digest(state_.consensus().digest());
  if (!state_.fragments().empty()) {
    next.set_fragment(static_cast<uint32_t>(state_.rounds_done() %
                                            static_cast<uint64_t>(state_.fragments_size())));
  }
  if (!work_done) {
    next.set_reopened(ended.reopened() + 1);
    next.mutable_contributions()->Swap(ended.mutable_contributions());
  }
  effects_.push_back(KeepRound{std::move(ended)});
  *state_.mutable_current() = std::move(next);
  effects_.push_back(RemoveUnneeded{});
  StartDueReleases();
  if (last) {
    state_.clear_pause();
    state_.set_phase(RoundEvent::AGGREGATING);
    state_.set_reason("all rounds are done; the last release is being published");
    effects_.push_back(Announce{});
    return;
  }
  state_.set_phase(RoundEvent::FORMING);
  if (!state_.has_pause()) return OpenOrWait();
  state_.set_reason(absl::StrCat("round ", state_.current().round(), " is next"));
  BeginPause();
}

// What came late for the last round has no round to count in.
void RoundMachine::DropCarried(RoundRecord* last) {
  for (const StoredContribution& c : state_.carried()) {
    ExcludedContribution* excluded = last->add_excluded();
    *excluded->mutable_contribution() = c;
    excluded->set_reason("late, and all rounds are done");
    Decide(Decision::CONTRIBUTION_EXCLUDED, excluded->reason(), c.site(), c.digest());
  }
  state_.clear_carried();
}

void RoundMachine::AddRelease(const RoundRecord& record) {
  PendingRelease* release = state_.add_releases();
  release->set_version(state_.consensus().version());
  if (state_.fragments().empty()) release->set_digest(state_.consensus().digest());
  for (const ConsensusVersion& fragment : state_.fragments()) {
    release->add_fragment_digests(fragment.digest());
  }
  release->set_round(record.round());
  release->set_wait_until_unix_ms(state_.now_unix_ms() + kReportWaitMs);
  for (const StoredContribution& c : record.contributions()) {
    if (c.staleness() == 0 && !Contains(record.reported(), c.site())) {
      release->add_awaited(c.site());
    }
  }
}

void RoundMachine::On(const ReleasePublished& event) {
  EraseIf(state_.mutable_releases(),
          [&](const PendingRelease& release) { return release.version() == event.version; });
  Decide(Decision::RELEASE_PUBLISHED,
         absl::StrCat("consensus version ", event.version, " is published"));
  effects_.push_back(RemoveUnneeded{});
  FinishIfPublished();
}

void RoundMachine::StartDueReleases() {
  for (PendingRelease& release : *state_.mutable_releases()) {
    if (release.started()) continue;
    if (release.awaited_size() > 0 && state_.now_unix_ms() < release.wait_until_unix_ms()) continue;
    release.set_started(true);
    effects_.push_back(
        PublishRelease{release.version(),
                       release.digest(),
                       {release.fragment_digests().begin(), release.fragment_digests().end()}});
  }
}

void RoundMachine::FinishIfPublished() {
  if (state_.phase() != RoundEvent::AGGREGATING || !state_.releases().empty() ||
      state_.rounds_done() < manifest_.rounds().round_count()) {
    return;
  }
  Enter(RoundEvent::FINISHED, Decision::RUN_FINISHED, "all rounds are done and published");
}

}  // namespace weft
