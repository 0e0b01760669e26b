#include "coordinator/core/round_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "coordinator/core/round_view.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

RunManifest Manifest() {
  RunManifest manifest;
  manifest.set_protocol_version(1);
  manifest.set_run_id("demo");
  auto* rounds = manifest.mutable_rounds();
  rounds->set_round_count(2);
  rounds->set_inner_steps(10);
  rounds->set_quorum(2);
  rounds->set_sites_to_start(3);
  rounds->set_round_seconds_max(60);
  rounds->set_publish_every(2);
  return manifest;
}

Membership Members(uint64_t version = 1) {
  Membership membership;
  membership.set_run_id("demo");
  membership.set_version(version);
  for (const char* name : {"a", "b", "c", "d"}) membership.add_sites()->set_name(name);
  return membership;
}

ConsensusVersion Version(uint64_t number) {
  ConsensusVersion version;
  version.set_version(number);
  version.set_digest(std::string(32, static_cast<char>('0' + number)));
  return version;
}

// A run as a list of events; every step's effects are kept for the last question.
class RoundMachineTest : public ::testing::Test {
 protected:
  void Step(const Event& event) { effects_ = machine_.Step(event); }
  void Join(const std::string& site) { Step(SiteJoined{site, "session-" + site}); }
  void Watch(const std::string& site) { Step(SiteResumed{site, "session-" + site}); }
  void Contribute(const std::string& site, const std::string& digest = "x", uint64_t round = 0) {
    StoredContribution contribution;
    contribution.set_site(site);
    contribution.set_digest(digest);
    Step(ContributionArrived{round, contribution, "signed by " + site});
  }
  void OpenWithThree() {
    Step(TimeAdvanced{1000});
    for (const char* site : {"a", "b", "c"}) Join(site);
    for (const char* site : {"a", "b", "c"}) Watch(site);
  }
  void CloseRound(uint64_t round) {
    for (const char* site : {"a", "b", "c"}) Contribute(site, site, round);
  }

  template <typename T>
  std::optional<T> Find() const {
    for (const Effect& effect : effects_) {
      if (const T* found = std::get_if<T>(&effect)) return *found;
    }
    return std::nullopt;
  }
  std::vector<Decision::Code> Codes() const {
    std::vector<Decision::Code> codes;
    for (const Effect& effect : effects_) {
      if (const Record* record = std::get_if<Record>(&effect))
        codes.push_back(record->decision.code());
    }
    return codes;
  }
  RoundEvent::Phase phase() const { return machine_.state().phase(); }
  const RoundRecord& round() const { return machine_.state().current(); }

  RoundMachine machine_{Manifest(), RoundMachine::InitialState(Manifest(), Members(), Version(0))};
  std::vector<Effect> effects_;
};

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
