#include "tests/coordinator/core/round_machine_fixture.h"

namespace weft {
namespace {

TEST_F(RoundMachineTest, FirstRoundWaitsForSitesToStart) {
  Join("a");
  EXPECT_EQ(phase(), RoundEvent::FORMING);
  EXPECT_EQ(machine_.state().reason(), "round 0 waits for 3 sites: 1 joined");
  Join("b");
  Join("c");
  EXPECT_EQ(phase(), RoundEvent::OPEN);
  EXPECT_THAT(round().cohort(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Codes(), ElementsAre(Decision::SITE_JOINED, Decision::ROUND_OPENED));
}

TEST_F(RoundMachineTest, ClosesWhenTheWholeCohortContributed) {
  OpenWithThree();
  Contribute("c");
  EXPECT_TRUE(Find<KeepReceipt>().has_value());
  Contribute("a");
  EXPECT_EQ(phase(), RoundEvent::OPEN);
  Contribute("b");
  EXPECT_EQ(phase(), RoundEvent::AGGREGATING);
  const auto outer = Find<RunOuterStep>();
  ASSERT_TRUE(outer.has_value());
  ASSERT_EQ(outer->record.contributions_size(), 3);
  EXPECT_EQ(outer->record.contributions(0).site(), "a");  // site order, not order of arrival
  EXPECT_DOUBLE_EQ(outer->record.contributions(0).weight(), 1.0 / 3);
  EXPECT_EQ(outer->base.version(), 0);
}

TEST_F(RoundMachineTest, SameContributionGetsTheSameReceiptAndAnotherIsRefused) {
  OpenWithThree();
  Contribute("a", "x");
  Contribute("a", "x");
  ASSERT_TRUE(Find<Accept>().has_value());
  EXPECT_EQ(Find<Accept>()->receipt_digest, "x");
  EXPECT_THAT(Codes(), ElementsAre());
  Contribute("a", "y");
  ASSERT_TRUE(Find<Refuse>().has_value());
  EXPECT_EQ(Find<Refuse>()->refusal.code(), Refusal::ANOTHER_STORED);
  EXPECT_EQ(round().contributions(0).digest(), "x");
  EXPECT_THAT(Codes(), ElementsAre(Decision::CALL_REFUSED));
  ASSERT_EQ(round().refusals_size(), 1);
  EXPECT_EQ(round().refusals(0).site(), "a");
}

TEST_F(RoundMachineTest, DeadlineClosesWithTheQuorum) {
  OpenWithThree();
  Contribute("a");
  Contribute("c");
  Step(TimeAdvanced{60999});
  EXPECT_EQ(phase(), RoundEvent::OPEN);
  EXPECT_TRUE(effects_.empty());
  Step(TimeAdvanced{61000});
  EXPECT_EQ(phase(), RoundEvent::AGGREGATING);
  EXPECT_EQ(round().closed_reason(), "deadline: 2 of 3 contributed, the quorum is 2");
  EXPECT_DOUBLE_EQ(round().contributions(1).weight(), 0.5);
}

TEST_F(RoundMachineTest, DeadlineWithoutQuorumExtendsAndInvitesWhoCameMeanwhile) {
  OpenWithThree();
  Contribute("a");
  Join("d");
  EXPECT_THAT(round().cohort(), ElementsAre("a", "b", "c"));
  Step(TimeAdvanced{61000});
  EXPECT_EQ(phase(), RoundEvent::OPEN);
  EXPECT_THAT(Codes(), ElementsAre(Decision::ROUND_EXTENDED));
  EXPECT_THAT(machine_.state().reason(), HasSubstr("1 of 3 contributed, the quorum is 2"));
  EXPECT_EQ(machine_.state().deadline_unix_ms(), 121000);
  EXPECT_THAT(round().cohort(), ElementsAre("a", "b", "c", "d"));
}

TEST_F(RoundMachineTest, SilentSiteIsNotInvitedAgainUntilItReturns) {
  OpenWithThree();
  Step(SiteLost{"b", "session-b"});
  Contribute("a");
  Contribute("c");
  Step(TimeAdvanced{61000});
  Step(OuterStepDone{0, Version(1)});
  EXPECT_EQ(phase(), RoundEvent::OPEN);
  EXPECT_THAT(round().cohort(), ElementsAre("a", "c"));
  Watch("b");  // from the next round on
  EXPECT_THAT(round().cohort(), ElementsAre("a", "c"));
  EXPECT_TRUE(RoundEventFor(Manifest(), machine_.state(), "b", "session-b").contribution_stored());
  EXPECT_FALSE(RoundEventFor(Manifest(), machine_.state(), "a", "session-a").contribution_stored());
}

TEST_F(RoundMachineTest, ASiteThatLeavesIsNotWaitedFor) {
  OpenWithThree();
  Contribute("a");
  Contribute("b");
  Step(SiteLeft{"c", "session-c", "maintenance"});
  EXPECT_EQ(phase(), RoundEvent::AGGREGATING);
}

TEST_F(RoundMachineTest, ARoundThatAllSitesLeftIsOpenedAnewByTheNext) {
  OpenWithThree();
  for (const char* site : {"a", "b", "c"}) Step(SiteLeft{site, std::string("session-") + site, ""});
  EXPECT_EQ(phase(), RoundEvent::FORMING);
  EXPECT_EQ(machine_.state().deadline_unix_ms(), 0);
  Join("d");
  EXPECT_EQ(machine_.state().reason(), "round 0 waits for 3 sites: 1 joined");
  Join("a");
  Join("b");
  EXPECT_EQ(phase(), RoundEvent::OPEN);
  EXPECT_THAT(round().cohort(), ElementsAre("a", "b", "d"));
}

TEST_F(RoundMachineTest, WhatASiteStoredBeforeItLeftCounts) {
  OpenWithThree();
  Contribute("a");
  Step(SiteLeft{"a", "session-a", "done"});
  EXPECT_EQ(phase(), RoundEvent::OPEN);
  Contribute("b");
  Contribute("c");
  EXPECT_EQ(round().contributions_size(), 3);
}

TEST_F(RoundMachineTest, NewestSessionWins) {
  OpenWithThree();
  Step(SiteJoined{"a", "session-2"});
  EXPECT_TRUE(Find<Announce>().has_value());
  Step(SiteLeft{"a", "session-a", "the old one"});
  ASSERT_TRUE(Find<Refuse>().has_value());
  EXPECT_EQ(Find<Refuse>()->refusal.code(), Refusal::SESSION_REPLACED);
  Step(SiteLost{"a", "session-a"});
  EXPECT_TRUE(effects_.empty());
}

TEST_F(RoundMachineTest, RevokedSiteIsRemovedWithItsContribution) {
  OpenWithThree();
  Contribute("a");
  Membership changed = Members(2);
  changed.mutable_sites(0)->set_revoked(true);
  Step(MembershipChanged{changed});
  EXPECT_THAT(Codes(), ElementsAre(Decision::MEMBERSHIP_CHANGED, Decision::CONTRIBUTION_EXCLUDED));
  EXPECT_EQ(round().contributions_size(), 0);
  EXPECT_THAT(round().cohort(), ElementsAre("b", "c"));
  Contribute("b");
  Contribute("c");
  EXPECT_EQ(phase(), RoundEvent::AGGREGATING);
}

TEST_F(RoundMachineTest, OlderMembershipIsNeverTakenBack) {
  Step(MembershipChanged{Members(3)});
  Step(MembershipChanged{Members(2)});
  EXPECT_THAT(Codes(), ElementsAre(Decision::MEMBERSHIP_REFUSED));
  EXPECT_EQ(machine_.state().membership().version(), 3);
}

TEST_F(RoundMachineTest, WithDualsASiteMayBeRevokedButNoneAddedOrWeighedOtherwise) {
  RunManifest manifest = Manifest();
  manifest.mutable_consensus()->set_dual(true);
  machine_ = RoundMachine(manifest, RoundMachine::InitialState(manifest, Members(), Version(0)));
  Membership changed = Members(2);
  changed.add_sites()->set_name("new");
  Step(MembershipChanged{changed});
  EXPECT_THAT(Codes(), ElementsAre(Decision::MEMBERSHIP_REFUSED));
  changed = Members(3);
  changed.mutable_sites(0)->set_revoked(true);
  Step(MembershipChanged{changed});
  EXPECT_THAT(Codes(), ElementsAre(Decision::MEMBERSHIP_CHANGED));
}

TEST_F(RoundMachineTest, MembershipWeightsAreNormalisedOverTheCohort) {
  Membership weighted = Members(2);
  for (int i = 0; i < 4; ++i) weighted.mutable_sites(i)->set_weight(i + 1);
  Step(MembershipChanged{weighted});
  OpenWithThree();
  CloseRound(0);
  const auto outer = Find<RunOuterStep>();
  ASSERT_TRUE(outer.has_value());
  EXPECT_DOUBLE_EQ(outer->record.contributions(2).weight(), 3.0 / 6);
}

TEST_F(RoundMachineTest, GoesOnToTheNextRoundAndPublishesTheLast) {
  OpenWithThree();
  CloseRound(0);
  Step(OuterStepDone{0, Version(1)});
  EXPECT_EQ(phase(), RoundEvent::OPEN);
  EXPECT_EQ(round().round(), 1);
  EXPECT_EQ(round().base_version(), 1);
  ASSERT_TRUE(Find<KeepRound>().has_value());
  EXPECT_EQ(Find<Record>()->decision.code(), Decision::OUTER_STEP_DONE);
  EXPECT_EQ(Find<KeepRound>()->record.round(), 0);
  EXPECT_EQ(Find<KeepRound>()->record.result_digest(), Version(1).digest());
  EXPECT_FALSE(Find<PublishRelease>().has_value());
  Step(ReleasePublished{0});
  CloseRound(1);
  Step(OuterStepDone{1, Version(2)});
  EXPECT_EQ(phase(), RoundEvent::AGGREGATING);
  for (const char* site : {"a", "b", "c"}) {
    EXPECT_FALSE(Find<PublishRelease>().has_value());  // reports belong into its log
    RoundReport report;
    report.set_round(1);
    Step(ReportReceived{site, report});
  }
  ASSERT_TRUE(Find<PublishRelease>().has_value());
  EXPECT_EQ(Find<PublishRelease>()->version, 2);
  Step(ReleasePublished{2});
  EXPECT_EQ(phase(), RoundEvent::FINISHED);
  EXPECT_THAT(Codes(), ElementsAre(Decision::RELEASE_PUBLISHED, Decision::RUN_FINISHED));
}

TEST_F(RoundMachineTest, AReleaseWaitsForReportsWithABound) {
  OpenWithThree();
  CloseRound(0);
  Step(OuterStepDone{0, Version(1)});
  CloseRound(1);
  Step(OuterStepDone{1, Version(2)});
  Step(TimeAdvanced{5999});
  EXPECT_FALSE(Find<PublishRelease>().has_value());
  Step(TimeAdvanced{6000});
  EXPECT_TRUE(Find<PublishRelease>().has_value());
  Step(TimeAdvanced{7000});
  EXPECT_FALSE(Find<PublishRelease>().has_value());
}

}  // namespace
}  // namespace weft
