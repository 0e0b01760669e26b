#include "tests/worker/core/site_machine_fixture.h"

namespace weft::site {
namespace {

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

TEST_F(SiteMachineTest, WhatWasFormedAndLostIsFormedAnew) {
  Reach(GateState::PUSHING);
  EXPECT_TRUE(Has<DiscardResult>(machine_.Step(ResultUnusable{"vector and blob are damaged"})));
  RoundEvent extended = Open(0, 'a');
  extended.set_deadline_unix_ms(2000);
  EXPECT_TRUE(Only<FetchBase>(machine_.Step(RoundChanged{extended})));
  machine_.Step(BaseFetched{Hex('a')});
  machine_.Step(ResultSeen{ResultOf(0, 'a')});
  EXPECT_TRUE(Has<PushContribution>(machine_.Step(ContributionFormed{Hex('x'), 10})));
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

}  // namespace
}  // namespace weft::site
