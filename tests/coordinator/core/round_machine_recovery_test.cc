#include "tests/coordinator/core/round_machine_fixture.h"

namespace weft {
namespace {

TEST_F(RoundMachineTest, ARestartRunsTheSameOuterStepAgain) {
  OpenWithThree();
  CloseRound(0);
  const auto before = Find<RunOuterStep>();
  RoundState read;
  ASSERT_TRUE(read.ParseFromString(machine_.state().SerializeAsString()));
  machine_ = RoundMachine(Manifest(), read);
  Step(CoordinatorStarted{});
  const auto after = Find<RunOuterStep>();
  ASSERT_TRUE(before.has_value() && after.has_value());
  EXPECT_EQ(before->record.SerializeAsString(), after->record.SerializeAsString());
  EXPECT_EQ(before->base.SerializeAsString(), after->base.SerializeAsString());
}

TEST_F(RoundMachineTest, ARestartPublishesAgainWhatWasUnderWay) {
  Step(TimeAdvanced{1000});
  ASSERT_TRUE(Find<PublishRelease>().has_value());
  Step(CoordinatorStarted{2000});
  ASSERT_TRUE(Find<PublishRelease>().has_value());
  EXPECT_EQ(Find<PublishRelease>()->version, 0);
  EXPECT_EQ(machine_.state().now_unix_ms(), 2000);
}

TEST_F(RoundMachineTest, ARestartKeepsTheCohortWhileSitesComeBack) {
  OpenWithThree();
  Contribute("a");
  Contribute("b");
  Step(CoordinatorStarted{});
  Watch("c");
  Contribute("c");
  Step(OuterStepDone{0, Version(1)});
  EXPECT_THAT(round().cohort(), ElementsAre("a", "b", "c"));
}

TEST_F(RoundMachineTest, AFailedOuterStepAsksForNewWorkAndHaltsWhenNoBaseIsLeft) {
  RunManifest manifest = Manifest();
  manifest.mutable_rounds()->set_round_count(9);
  machine_ = RoundMachine(manifest, RoundMachine::InitialState(manifest, Members(), Version(0)));
  OpenWithThree();
  for (uint64_t failed : {0, 1}) {
    CloseRound(failed);
    Step(OuterStepFailed{failed, "element 7 is not finite"});
    EXPECT_EQ(phase(), RoundEvent::OPEN);
    EXPECT_EQ(round().round(), failed + 1);
    EXPECT_EQ(round().contributions_size(), 0);
    EXPECT_EQ(round().base_digest(), Version(0).digest());
    EXPECT_EQ(round().base_version(), failed + 1);  // told from what was contributed before
  }
  CloseRound(2);
  Step(OuterStepFailed{2, "element 7 is not finite"});
  EXPECT_EQ(phase(), RoundEvent::HALTED);
  EXPECT_THAT(machine_.state().reason(), HasSubstr("element 7 is not finite"));
  EXPECT_THAT(machine_.state().reason(), HasSubstr("no good base is left"));
}

TEST_F(RoundMachineTest, RecordsOfRefusalsAreBounded) {
  OpenWithThree();
  Refusal refusal;
  refusal.set_code(Refusal::CORRUPTED);
  for (int i = 0; i < 1000; ++i) Step(CallRefused{"a", refusal});
  EXPECT_EQ(round().refusals_size(), 64);
  EXPECT_THAT(Codes(), ElementsAre());
  Step(CallRefused{"b", refusal});
  EXPECT_THAT(Codes(), ElementsAre(Decision::CALL_REFUSED));
}

TEST_F(RoundMachineTest, EqualEventsGiveEqualStates) {
  OpenWithThree();
  CloseRound(0);
  RoundMachine other(Manifest(), RoundMachine::InitialState(Manifest(), Members(), Version(0)));
  other.Step(TimeAdvanced{1000});
  // Sites in another order: the state keeps them by name.
  for (const char* site : {"c", "b", "a"})
    other.Step(SiteJoined{site, std::string("session-") + site});
  for (const char* site : {"b", "c", "a"})
    other.Step(SiteResumed{site, std::string("session-") + site});
  for (const char* site : {"b", "a", "c"}) {
    StoredContribution contribution;
    contribution.set_site(site);
    contribution.set_digest(site);
    other.Step(ContributionArrived{0, contribution, ""});
  }
  EXPECT_EQ(machine_.state().SerializeAsString(), other.state().SerializeAsString());
}

// A receipt is honoured to the end: included, or excluded with a reason.
TEST_F(RoundMachineTest, WhatComesLateForTheLastRoundIsExcludedWithAReason) {
  RunManifest manifest = Manifest();
  manifest.mutable_rounds()->set_round_count(1);
  manifest.mutable_rounds()->set_late("carry");
  machine_ = RoundMachine(manifest, RoundMachine::InitialState(manifest, Members(), Version(0)));
  OpenWithThree();
  Contribute("a");
  Contribute("b");
  Step(TimeAdvanced{70000});
  ASSERT_EQ(phase(), RoundEvent::AGGREGATING);
  StoredContribution late;
  late.set_site("c");
  late.set_digest("late");
  late.set_base_digest(Version(0).digest());
  Step(ContributionArrived{0, late, "signed by c"});
  ASSERT_TRUE(Find<KeepReceipt>().has_value());
  Step(OuterStepDone{0, Version(1)});
  EXPECT_THAT(Codes(), testing::Contains(Decision::CONTRIBUTION_EXCLUDED));
  ASSERT_EQ(Find<KeepRound>()->record.excluded_size(), 1);
  EXPECT_THAT(Find<KeepRound>()->record.excluded(0).reason(), HasSubstr("all rounds are done"));
  late.set_site("d");
  Step(ContributionArrived{0, late, "signed by d"});
  EXPECT_TRUE(Find<Refuse>().has_value());
}

TEST_F(RoundMachineTest, ExclusionsThatTakeTheQuorumAwayDoNotExtendForEver) {
  RunManifest manifest = Manifest();
  manifest.mutable_rounds()->set_quorum(3);
  manifest.mutable_rounds()->set_norm_factor_max(2);
  machine_ = RoundMachine(manifest, RoundMachine::InitialState(manifest, Members(), Version(0)));
  OpenWithThree();
  StoredContribution contribution;
  for (const char* site : {"a", "b", "c"}) {
    contribution.set_site(site);
    contribution.set_digest(site);
    contribution.set_update_norm(*site == 'c' ? 100 : 1);
    Step(ContributionArrived{0, contribution, "signed"});
  }
  EXPECT_EQ(phase(), RoundEvent::OPEN);
  Step(TimeAdvanced{70000});
  EXPECT_EQ(round().extensions(), 1u);
  Step(TimeAdvanced{140000});
  EXPECT_THAT(Codes(), testing::Contains(Decision::ROUND_ABANDONED));
  EXPECT_EQ(round().round(), 1u);
}

}  // namespace
}  // namespace weft
