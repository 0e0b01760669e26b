#include "tests/worker/core/site_machine_fixture.h"

namespace weft::site {
namespace {

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
  EXPECT_EQ(Only<FormContribution>(again)->formed, Hex('c'));
  EXPECT_TRUE(Only<PushContribution>(machine_.Step(ContributionFormed{Hex('c'), 10})));
}

TEST_F(SiteMachineTest, SendsAnotherForTheSameBaseOnlyInThePlaceOfOneThatIsLost) {
  Reach(GateState::DONE);
  machine_.Step(RoundChanged{Reopened(1, 'a')});
  const Effects effects = machine_.Step(ContributionFormed{Hex('x'), 10});
  EXPECT_TRUE(Has<PushContribution>(effects));
  EXPECT_TRUE(Has<Warn>(effects));
  EXPECT_EQ(machine_.state().contribution_blob(), Hex('x'));
  EXPECT_EQ(machine_.state().lost().blob(), Hex('c'));
  // And no third one.
  RoundEvent again = Reopened(2, 'a');
  again.set_reopened(2);
  machine_.Step(RoundChanged{again});
  const Effects third = machine_.Step(ContributionFormed{Hex('y'), 10});
  ASSERT_TRUE(Only<Warn>(third));
  EXPECT_THAT(Only<Warn>(third)->words, HasSubstr("were formed before and are lost"));
  EXPECT_EQ(machine_.state().stage(), GateState::DONE);
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{Open(3, 'b')}))) << "the next consensus";
}

TEST_F(SiteMachineTest, ALostContributionThatWasStoredAfterAllIsTheOneThatCounts) {
  Reach(GateState::DONE);
  machine_.Step(RoundChanged{Reopened(1, 'a')});
  machine_.Step(ContributionFormed{Hex('x'), 20, Hex('r'), "", 0});
  const Effects effects =
      machine_.Step(Refused{Operation::kPush, RefusalOf(Refusal::ANOTHER_STORED)});
  EXPECT_TRUE(Has<SendReport>(effects));
  EXPECT_EQ(machine_.state().contribution_blob(), Hex('c'));
  EXPECT_EQ(machine_.state().contribution_bytes(), 10u);
  EXPECT_EQ(machine_.state().residual_next(), "");
  EXPECT_TRUE(machine_.state().outcome_awaited());
  EXPECT_FALSE(machine_.state().has_lost());
}

TEST_F(SiteMachineTest, WhatAnEventSaysOfALostContributionCountsForIt) {
  Reach(GateState::DONE);
  machine_.Step(RoundChanged{Reopened(1, 'a')});
  machine_.Step(ContributionFormed{Hex('x'), 20, Hex('r'), "", 0});
  RoundEvent now = Reopened(1, 'a');
  now.set_contribution_stored(true);
  EXPECT_TRUE(machine_.Step(RoundChanged{now}).empty()) << "the push will say which";
  now = Open(2, 'b');
  now.mutable_outcome()->set_digest(Bytes('c'));
  now.mutable_outcome()->set_included(true);
  machine_.Step(RoundChanged{now});
  EXPECT_EQ(machine_.state().contribution_blob(), Hex('c'));
  EXPECT_EQ(machine_.state().residual_digests_size(), 0) << "that of the other never counted";
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

// What was decided about an older contribution says nothing of this round's.
TEST_F(SiteMachineTest, TrainsAgainWhatCouldNotBeSentWhenTheRoundIsExtended) {
  Reach(GateState::DONE);
  RoundEvent now = Open(1, 'b');
  now.mutable_context()->set_base_version(1);
  now.set_deadline_unix_ms(1000);
  now.mutable_outcome()->set_digest(Bytes('c'));
  now.mutable_outcome()->set_included(true);
  machine_.Step(RoundChanged{now});
  machine_.Step(BaseFetched{Hex('b')});
  machine_.Step(ResultSeen{ResultOf(1, 'b')});
  machine_.Step(ResultUnusable{"element 3 is not finite"});
  ASSERT_EQ(machine_.state().stage(), GateState::DONE);
  EXPECT_TRUE(machine_.Step(RoundChanged{now}).empty());
  now.set_deadline_unix_ms(2000);
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{now})));
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

// Each join measures the coordinator's clock: the one before may have been another machine's.
TEST_F(SiteMachineTest, AJoinMayTurnTimeBack) {
  RoundEvent now = Open(0, 'a');
  now.set_cut_unix_ms(5000);
  machine_.Step(TimeAdvanced{600000});
  machine_.Step(Joined{Context(), now});
  machine_.Step(BaseFetched{Hex('a')});
  EXPECT_TRUE(machine_.Step(TimeAdvanced{1000}).empty());
  EXPECT_TRUE(machine_.Step(TimeAdvanced{4999}).empty());
  EXPECT_TRUE(Only<CutOrder>(machine_.Step(TimeAdvanced{5000})));

  machine_.Step(Joined{Context(), now});
  machine_.Step(BaseFetched{Hex('a')});
  machine_.Step(ConnectionLost{"gone"});
  EXPECT_TRUE(machine_.Step(TimeAdvanced{2000}).empty());
  EXPECT_TRUE(Only<CutOrder>(machine_.Step(TimeAdvanced{62000})));
  EXPECT_THAT(FailReason(machine_.Step(TimeAdvanced{62001})), HasSubstr("gone"));
}

TEST_F(SiteMachineTest, BetweenJoinsTimeDoesNotGoBack) {
  machine_.Step(Joined{Context(), Open(0, 'a')});
  machine_.Step(TimeAdvanced{1000});
  machine_.Step(TimeAdvanced{0});
  machine_.Step(ConnectionLost{"gone"});
  EXPECT_TRUE(machine_.Step(TimeAdvanced{61000}).empty());
  EXPECT_TRUE(Has<Fail>(machine_.Step(TimeAdvanced{61001})));
}

TEST_F(SiteMachineTest, LostWorkerAndFailedOperationEndTheGate) {
  Reach(GateState::TRAINING);
  EXPECT_THAT(FailReason(machine_.Step(WorkerGone{"died 5 times"})), HasSubstr("died 5 times"));
  EXPECT_THAT(FailReason(machine_.Step(OperationFailed{Operation::kPull, "damaged"})),
              HasSubstr("pull failed: damaged"));
}

}  // namespace
}  // namespace weft::site
