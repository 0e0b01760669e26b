#include "worker/core/site_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace weft::site {
namespace {

using ::testing::HasSubstr;
using Effects = std::vector<SiteEffect>;

std::string Bytes(char c) { return std::string(32, c); }
std::string Hex(char c) { return absl::BytesToHexString(Bytes(c)); }

MessageContext Context(uint64_t epoch = 1, std::string session = "s1") {
  MessageContext context;
  context.set_protocol_version(1);
  context.set_run_id("demo");
  context.set_coordinator_epoch(epoch);
  context.set_session_id(session);
  context.set_fragment_count(1);
  return context;
}

RoundEvent At(RoundEvent::Phase phase, uint64_t round, char base) {
  RoundEvent event;
  *event.mutable_context() = Context();
  event.set_phase(phase);
  event.set_round(round);
  event.set_round_count(2);
  event.set_base_digest(Bytes(base));
  return event;
}
RoundEvent Open(uint64_t round, char base) { return At(RoundEvent::OPEN, round, base); }
// Opened in place of the round before, for the same work.
RoundEvent Reopened(uint64_t round, char base) {
  RoundEvent event = Open(round, base);
  event.set_reopened(1);
  return event;
}

RoundResult ResultOf(uint64_t round, char base) {
  RoundResult result;
  result.set_round(round);
  result.set_base_digest(Hex(base));
  result.set_vector_digest(Hex('v'));
  return result;
}

Refusal RefusalOf(Refusal::Code code) {
  Refusal refusal;
  refusal.set_code(code);
  refusal.set_reason("because");
  return refusal;
}

GateState Fresh() {
  GateState state;
  state.set_version(1);
  state.set_run_id("demo");
  state.set_site("north");
  state.set_coordinator_epoch(1);
  return state;
}

template <typename T>
const T* Only(const Effects& effects) {
  return effects.size() == 1 ? std::get_if<T>(&effects[0]) : nullptr;
}

template <typename T>
bool Has(const Effects& effects) {
  for (const SiteEffect& effect : effects) {
    if (std::holds_alternative<T>(effect)) return true;
  }
  return false;
}

std::string FailReason(const Effects& effects) {
  for (const SiteEffect& effect : effects) {
    if (const Fail* fail = std::get_if<Fail>(&effect)) return fail->reason;
  }
  return "no failure";
}

class SiteMachineTest : public ::testing::Test {
 protected:
  // Takes the machine through a round up to, and not including, `stage`.
  void Reach(GateState::Stage stage, uint64_t round = 0, char base = 'a') {
    machine_.Step(Joined{Context(), Open(round, base)});
    if (stage >= GateState::TRAINING) machine_.Step(BaseFetched{Hex(base)});
    if (stage >= GateState::FORMING) machine_.Step(ResultSeen{ResultOf(round, base)});
    if (stage >= GateState::PUSHING) machine_.Step(ContributionFormed{Hex('c'), 10});
    if (stage >= GateState::REPORTING) machine_.Step(ContributionStored{Hex('c')});
    if (stage >= GateState::DONE) machine_.Step(Reported{});
    ASSERT_EQ(machine_.state().stage(), stage);
  }
  // What a gate does that is killed and started again.
  void Restart() { machine_ = SiteMachine(machine_.state(), SiteLimits{}); }

  SiteMachine machine_{Fresh(), SiteLimits{.silence_ms_max = 60000}};
};

TEST_F(SiteMachineTest, WalksARoundFromJoinToReport) {
  EXPECT_TRUE(Only<JoinRun>(machine_.Step(Started{})));
  const Effects fetch = machine_.Step(Joined{Context(), Open(0, 'a')});
  ASSERT_TRUE(Only<FetchBase>(fetch));
  EXPECT_FALSE(Only<FetchBase>(fetch)->delta);
  const Effects order = machine_.Step(BaseFetched{Hex('a')});
  EXPECT_TRUE(Has<WriteOrder>(order));
  EXPECT_TRUE(Has<CleanUp>(order));
  EXPECT_TRUE(Only<FormContribution>(machine_.Step(ResultSeen{ResultOf(0, 'a')})));
  EXPECT_TRUE(Only<PushContribution>(machine_.Step(ContributionFormed{Hex('c'), 10})));
  EXPECT_TRUE(Only<SendReport>(machine_.Step(ContributionStored{Hex('c')})));
  EXPECT_TRUE(machine_.Step(Reported{}).empty());
  EXPECT_EQ(machine_.state().stage(), GateState::DONE);
  EXPECT_EQ(machine_.state().session_id(), "s1");
}

TEST_F(SiteMachineTest, WaitsWhileNoRoundIsOpen) {
  for (auto phase : {RoundEvent::FORMING, RoundEvent::AGGREGATING, RoundEvent::PAUSED}) {
    EXPECT_TRUE(machine_.Step(RoundChanged{At(phase, 0, 'a')}).empty());
    EXPECT_EQ(machine_.state().stage(), GateState::WAITING);
  }
}

TEST_F(SiteMachineTest, HeartbeatsRepeatNothing) {
  Reach(GateState::TRAINING);
  EXPECT_TRUE(machine_.Step(RoundChanged{Open(0, 'a')}).empty());
}

TEST_F(SiteMachineTest, AsksForTheDeltaOnlyWhenItHoldsItsBase) {
  Reach(GateState::DONE);
  RoundEvent next = Open(1, 'b');
  next.set_delta_digest(Bytes('d'));
  next.set_delta_base_digest(Bytes('a'));
  const Effects near = machine_.Step(RoundChanged{next});
  ASSERT_TRUE(Only<FetchBase>(near));
  EXPECT_TRUE(Only<FetchBase>(near)->delta);

  next.set_round(2);
  next.set_base_digest(Bytes('e'));
  next.set_delta_base_digest(Bytes('f'));
  const Effects far = machine_.Step(RoundChanged{next});
  ASSERT_TRUE(Only<FetchBase>(far));
  EXPECT_FALSE(Only<FetchBase>(far)->delta);
}

TEST_F(SiteMachineTest, GivesUpARoundThatWentOnWithoutIt) {
  Reach(GateState::TRAINING);
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{Open(1, 'b')})));
  EXPECT_TRUE(machine_.Step(ResultSeen{ResultOf(0, 'a')}).empty());
  EXPECT_TRUE(machine_.Step(BaseFetched{Hex('a')}).empty());
  EXPECT_EQ(machine_.state().stage(), GateState::FETCHING);
}

TEST_F(SiteMachineTest, ReopenedRoundOfTheSameBaseGetsTheSameContribution) {
  Reach(GateState::DONE);
  const Effects again = machine_.Step(RoundChanged{Reopened(1, 'a')});
  ASSERT_TRUE(Only<FormContribution>(again));
  EXPECT_EQ(Only<FormContribution>(again)->round.round(), 1u);
  EXPECT_EQ(Only<FormContribution>(again)->result.vector_digest(), Hex('v'));
  EXPECT_TRUE(Only<PushContribution>(machine_.Step(ContributionFormed{Hex('c'), 10})));
}

TEST_F(SiteMachineTest, NeverSendsAnotherContributionForTheSameBase) {
  Reach(GateState::DONE);
  machine_.Step(RoundChanged{Reopened(1, 'a')});
  EXPECT_THAT(FailReason(machine_.Step(ContributionFormed{Hex('x'), 10})),
              HasSubstr("was formed before"));
}

TEST_F(SiteMachineTest, NewWorkFromTheSameBaseIsTrainedAnew) {
  Reach(GateState::DONE);
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{Open(1, 'a')})));
  machine_.Step(BaseFetched{Hex('a')});
  EXPECT_TRUE(machine_.Step(ResultSeen{ResultOf(0, 'a')}).empty());  // of the work before
  machine_.Step(ResultSeen{ResultOf(1, 'a')});
  EXPECT_TRUE(Only<PushContribution>(machine_.Step(ContributionFormed{Hex('x'), 10})));
}

TEST_F(SiteMachineTest, TrainingGoesOnWhenItsRoundIsReopened) {
  Reach(GateState::TRAINING);
  EXPECT_TRUE(machine_.Step(RoundChanged{Reopened(1, 'a')}).empty());
  EXPECT_TRUE(Only<FormContribution>(machine_.Step(ResultSeen{ResultOf(0, 'a')})));
  EXPECT_EQ(machine_.state().round().round(), 1u);
}

TEST_F(SiteMachineTest, EveryStageGoesOnAfterARestart) {
  Reach(GateState::FETCHING);
  Restart();
  EXPECT_TRUE(Only<JoinRun>(machine_.Step(Started{})));
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(Joined{Context(1, "s2"), Open(0, 'a')})));
  EXPECT_EQ(machine_.state().session_id(), "s2");
  machine_.Step(BaseFetched{Hex('a')});
  Restart();
  // The base may have been damaged, and then its worker only dies: it is looked at again.
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(Joined{Context(), Open(0, 'a')})));
  EXPECT_TRUE(Has<WriteOrder>(machine_.Step(BaseFetched{Hex('a')})));
  machine_.Step(ResultSeen{ResultOf(0, 'a')});
  Restart();
  EXPECT_TRUE(Only<FormContribution>(machine_.Step(Joined{Context(), Open(0, 'a')})));
  machine_.Step(ContributionFormed{Hex('c'), 10});
  Restart();
  EXPECT_TRUE(Only<PushContribution>(machine_.Step(Joined{Context(), Open(0, 'a')})));
  machine_.Step(ContributionStored{Hex('c')});
  Restart();
  EXPECT_TRUE(Only<SendReport>(machine_.Step(Joined{Context(), Open(0, 'a')})));
  machine_.Step(Reported{});
  Restart();
  EXPECT_TRUE(machine_.Step(Joined{Context(), Open(0, 'a')}).empty());
}

TEST_F(SiteMachineTest, AStageGoesOnAfterARestartInAPause) {
  Reach(GateState::PUSHING);
  Restart();
  EXPECT_TRUE(machine_.Step(Joined{Context(), At(RoundEvent::PAUSED, 0, 'a')}).empty());
  EXPECT_TRUE(machine_.Step(RoundChanged{At(RoundEvent::PAUSED, 0, 'a')}).empty());
  EXPECT_TRUE(Only<PushContribution>(machine_.Step(RoundChanged{Open(0, 'a')})));
  EXPECT_TRUE(machine_.Step(RoundChanged{Open(0, 'a')}).empty());
}

TEST_F(SiteMachineTest, LostReplyToAPushIsNotSentAgain) {
  Reach(GateState::PUSHING);
  Restart();
  RoundEvent now = Open(0, 'a');
  now.set_contribution_stored(true);
  EXPECT_TRUE(Only<SendReport>(machine_.Step(Joined{Context(), now})));
}

TEST_F(SiteMachineTest, TrainsNothingThatIsStoredAlready) {
  RoundEvent now = Open(0, 'a');
  now.set_contribution_stored(true);
  EXPECT_TRUE(machine_.Step(Joined{Context(), now}).empty());
  EXPECT_EQ(machine_.state().stage(), GateState::DONE);
}

TEST_F(SiteMachineTest, TakesPartWhenAnExtensionInvitesIt) {
  RoundEvent now = Open(0, 'a');
  now.set_contribution_stored(true);
  machine_.Step(Joined{Context(), now});
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{Open(0, 'a')})));
}

TEST_F(SiteMachineTest, WrongReceiptEndsTheGate) {
  Reach(GateState::PUSHING);
  EXPECT_THAT(FailReason(machine_.Step(ContributionStored{Hex('x')})), HasSubstr("receipt"));
}

TEST_F(SiteMachineTest, RefusalOfOneRoundEndsThatRoundOnly) {
  for (auto code : {Refusal::WRONG_ROUND, Refusal::NORM_TOO_LARGE, Refusal::NOT_FINITE,
                    Refusal::TOO_FEW_STEPS}) {
    machine_ = SiteMachine(Fresh(), SiteLimits{});
    Reach(GateState::PUSHING);
    EXPECT_TRUE(Only<Warn>(machine_.Step(Refused{Operation::kPush, RefusalOf(code)})));
    EXPECT_EQ(machine_.state().stage(), GateState::DONE);
    EXPECT_THAT(machine_.state().outcome(), HasSubstr("because"));
    EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{Open(1, 'b')})));
  }
}

TEST_F(SiteMachineTest, TooLateForTheLastRoundItStillFetchesTheFinalConsensus) {
  Reach(GateState::PUSHING);
  EXPECT_TRUE(Only<Warn>(machine_.Step(Refused{Operation::kPush, RefusalOf(Refusal::RUN_ENDED)})));
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{At(RoundEvent::FINISHED, 2, 'z')})));
}

TEST_F(SiteMachineTest, FinalRefusalsNameCodeAndReason) {
  for (auto code : {Refusal::NOT_A_MEMBER, Refusal::REVOKED, Refusal::WRONG_MANIFEST,
                    Refusal::SESSION_REPLACED}) {
    machine_ = SiteMachine(Fresh(), SiteLimits{});
    const std::string reason =
        FailReason(machine_.Step(Refused{Operation::kJoin, RefusalOf(code)}));
    EXPECT_THAT(reason, HasSubstr(Refusal::Code_Name(code)));
    EXPECT_THAT(reason, HasSubstr("because"));
  }
  Reach(GateState::PUSHING);
  EXPECT_THAT(
      FailReason(machine_.Step(Refused{Operation::kPush, RefusalOf(Refusal::BAD_SIGNATURE)})),
      HasSubstr("BAD_SIGNATURE"));
}

TEST_F(SiteMachineTest, RefusalInsideTheWatchEndsTheGate) {
  Reach(GateState::TRAINING);
  RoundEvent now;
  *now.mutable_refusal() = RefusalOf(Refusal::SESSION_REPLACED);
  EXPECT_THAT(FailReason(machine_.Step(RoundChanged{now})), HasSubstr("newest one goes on"));
}

TEST_F(SiteMachineTest, BaseThatIsGoneIsAskedForAgainAtTheNextEvent) {
  Reach(GateState::FETCHING);
  EXPECT_TRUE(
      Only<Warn>(machine_.Step(Refused{Operation::kPull, RefusalOf(Refusal::UNKNOWN_BLOB)})));
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{Open(0, 'a')})));
}

TEST_F(SiteMachineTest, UnusableResultSendsNothingAndGoesOn) {
  Reach(GateState::FORMING);
  const Effects effects = machine_.Step(ResultUnusable{"element 3 is not finite"});
  EXPECT_TRUE(Has<Warn>(effects));
  EXPECT_TRUE(Has<DiscardResult>(effects));
  EXPECT_EQ(machine_.state().stage(), GateState::DONE);
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{Open(1, 'b')})));
}

// A round that needs this site's contribution would otherwise be extended for ever.
TEST_F(SiteMachineTest, UnusableResultIsTrainedAgainWhenTheRoundIsExtended) {
  RoundEvent now = Open(0, 'a');
  now.set_deadline_unix_ms(1000);
  machine_.Step(Joined{Context(), now});
  machine_.Step(BaseFetched{Hex('a')});
  machine_.Step(ResultSeen{ResultOf(0, 'a')});
  machine_.Step(ResultUnusable{"the vector is damaged"});
  EXPECT_TRUE(machine_.Step(RoundChanged{now}).empty());
  now.set_deadline_unix_ms(2000);
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{now})));
  EXPECT_TRUE(Has<WriteOrder>(machine_.Step(BaseFetched{Hex('a')})));
  EXPECT_TRUE(Only<FormContribution>(machine_.Step(ResultSeen{ResultOf(0, 'a')})));
}

TEST_F(SiteMachineTest, WhatWasFormedAndLostIsOnlySentAgainWithTheSameBytes) {
  Reach(GateState::PUSHING);
  EXPECT_TRUE(Has<DiscardResult>(machine_.Step(ResultUnusable{"vector and blob are damaged"})));
  RoundEvent extended = Open(0, 'a');
  extended.set_deadline_unix_ms(2000);
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{extended})));
  machine_.Step(BaseFetched{Hex('a')});
  machine_.Step(ResultSeen{ResultOf(0, 'a')});
  EXPECT_THAT(FailReason(machine_.Step(ContributionFormed{Hex('x'), 10})),
              HasSubstr("was formed before"));
}

TEST_F(SiteMachineTest, WhoPushesAfterTheLastRoundStillFetchesTheFinalConsensus) {
  Reach(GateState::PUSHING);
  EXPECT_TRUE(Only<Warn>(machine_.Step(Refused{Operation::kPush, RefusalOf(Refusal::RUN_ENDED)})));
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{At(RoundEvent::FINISHED, 2, 'z')})));
}

TEST_F(SiteMachineTest, ResultOfAnotherBaseIsNotSent) {
  Reach(GateState::TRAINING);
  EXPECT_TRUE(machine_.Step(ResultSeen{ResultOf(0, 'x')}).empty());
  EXPECT_THAT(machine_.state().outcome(), HasSubstr("nothing sent"));
}

TEST_F(SiteMachineTest, FollowsNoOlderEpochAndJoinsANewerOne) {
  Reach(GateState::TRAINING);
  RoundEvent newer = Open(0, 'a');
  newer.mutable_context()->set_coordinator_epoch(2);
  EXPECT_TRUE(Only<JoinRun>(machine_.Step(RoundChanged{newer})));
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(Joined{Context(2, "s9"), newer})));
  EXPECT_THAT(FailReason(machine_.Step(RoundChanged{Open(0, 'a')})), HasSubstr("epoch 2 to 1"));
  EXPECT_THAT(FailReason(machine_.Step(Joined{Context(1), Open(0, 'a')})), HasSubstr("older copy"));
}

TEST_F(SiteMachineTest, AnotherRunIsRefused) {
  RoundEvent now = Open(0, 'a');
  now.mutable_context()->set_run_id("other");
  EXPECT_THAT(FailReason(machine_.Step(RoundChanged{now})), HasSubstr("'other'"));
}

TEST_F(SiteMachineTest, HaltEndsTheGateWithItsReason) {
  RoundEvent now = At(RoundEvent::HALTED, 1, 'a');
  now.set_reason("no good base");
  EXPECT_THAT(FailReason(machine_.Step(RoundChanged{now})), HasSubstr("no good base"));
}

TEST_F(SiteMachineTest, FinishFetchesTheConsensusStopsTheWorkerAndLeaves) {
  Reach(GateState::DONE, 1);
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{At(RoundEvent::FINISHED, 2, 'z')})));
  EXPECT_TRUE(machine_.Step(RoundChanged{At(RoundEvent::FINISHED, 2, 'z')}).empty());
  const Effects end = machine_.Step(BaseFetched{Hex('z')});
  ASSERT_EQ(end.size(), 4u);
  EXPECT_TRUE(std::holds_alternative<RecordFinal>(end[0]));
  EXPECT_TRUE(std::holds_alternative<StopWorker>(end[1]));
  EXPECT_TRUE(std::holds_alternative<LeaveRun>(end[2]));
  EXPECT_TRUE(std::holds_alternative<Finish>(end[3]));
  Restart();
  EXPECT_TRUE(Has<Finish>(machine_.Step(Joined{Context(), At(RoundEvent::FINISHED, 2, 'z')})));
}

TEST_F(SiteMachineTest, SilenceHasABoundAndTheLastReason) {
  machine_.Step(TimeAdvanced{1000000});
  machine_.Step(ConnectionLost{"connection refused"});
  EXPECT_TRUE(machine_.Step(TimeAdvanced{1060000}).empty());
  EXPECT_THAT(FailReason(machine_.Step(TimeAdvanced{1060001})), HasSubstr("connection refused"));
}

TEST_F(SiteMachineTest, AWordFromTheCoordinatorEndsTheSilence) {
  machine_.Step(TimeAdvanced{1000000});
  machine_.Step(ConnectionLost{"gone"});
  machine_.Step(RoundChanged{At(RoundEvent::FORMING, 0, 'a')});
  EXPECT_TRUE(machine_.Step(TimeAdvanced{9000000}).empty());
}

TEST_F(SiteMachineTest, ALateWorkerIsWarnedAboutOnce) {
  RoundEvent now = Open(0, 'a');
  now.set_deadline_unix_ms(5000);
  machine_.Step(Joined{Context(), now});
  machine_.Step(BaseFetched{Hex('a')});
  EXPECT_TRUE(machine_.Step(TimeAdvanced{5000}).empty());
  EXPECT_TRUE(Only<Warn>(machine_.Step(TimeAdvanced{5001})));
  EXPECT_TRUE(machine_.Step(TimeAdvanced{5002}).empty());
}

TEST_F(SiteMachineTest, LostWorkerAndFailedOperationEndTheGate) {
  Reach(GateState::TRAINING);
  EXPECT_THAT(FailReason(machine_.Step(WorkerGone{"died 5 times"})), HasSubstr("died 5 times"));
  EXPECT_THAT(FailReason(machine_.Step(OperationFailed{Operation::kPull, "damaged"})),
              HasSubstr("pull failed: damaged"));
}

}  // namespace
}  // namespace weft::site
