// What counts in a round, how much, and by how much its change is scaled.
#include "coordinator/core/inclusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace weft {
namespace {

using ::testing::DoubleEq;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class InclusionTest : public ::testing::Test {
 protected:
  InclusionTest() {
    scheme_.set_combine("mean");
    manifest_.mutable_rounds()->set_quorum(1);
    state_.mutable_consensus()->set_version(10);
    for (const char* name : {"a", "b", "c", "d"})
      state_.mutable_membership()->add_sites()->set_name(name);
  }
  StoredContribution* Store(const std::string& site, uint64_t base_version = 10) {
    const bool barrier = scheme_.asynchrony().empty();
    StoredContribution* c = barrier && base_version < 10
                                ? state_.add_carried()
                                : state_.mutable_current()->add_contributions();
    c->set_site(site);
    c->set_base_version(base_version);
    c->set_update_norm(1);
    c->set_inner_steps(10);
    c->set_token_count(1000);
    return c;
  }
  MemberSite* Member(int number) { return state_.mutable_membership()->mutable_sites(number); }
  Inclusion Decide() {
    *manifest_.mutable_consensus() = scheme_;
    return DecideInclusion(manifest_, state_);
  }
  static std::vector<double> Weights(const Inclusion& inclusion) {
    std::vector<double> weights;
    for (const StoredContribution& c : inclusion.included) weights.push_back(c.weight());
    return weights;
  }
  static std::vector<double> Scales(const Inclusion& inclusion) {
    std::vector<double> scales;
    for (const StoredContribution& c : inclusion.included) scales.push_back(c.scale());
    return scales;
  }

  RunManifest manifest_;
  ConsensusScheme scheme_;
  RoundState state_;
};

TEST_F(InclusionTest, EqualSitesCountTheSameAndTheBaseNothing) {
  Store("b");
  Store("a");
  const Inclusion inclusion = Decide();
  ASSERT_EQ(inclusion.included.size(), 2);
  EXPECT_EQ(inclusion.included[0].site(), "a");
  EXPECT_THAT(Weights(inclusion), ElementsAre(0.5, 0.5));
  EXPECT_THAT(Scales(inclusion), ElementsAre(0, 0));
  EXPECT_EQ(inclusion.base_weight, 0);
  EXPECT_EQ(inclusion.fresh, 2);
}

TEST_F(InclusionTest, TokensWeighByWhatWasTrainedOn) {
  Member(0)->set_weight(7);  // the membership's weights are of "equal"
  Member(1)->set_weight(1);
  scheme_.mutable_influence()->set_weights("tokens");
  Store("a")->set_token_count(3000);
  Store("b")->set_token_count(1000);
  Store("c")->set_token_count(0);
  const Inclusion inclusion = Decide();
  EXPECT_THAT(Weights(inclusion), ElementsAre(DoubleEq(0.75), DoubleEq(0.25)));
  ASSERT_EQ(inclusion.excluded.size(), 1);
  EXPECT_EQ(inclusion.excluded[0].contribution().site(), "c");
  EXPECT_THAT(inclusion.excluded[0].reason(), HasSubstr("no tokens"));
}

TEST_F(InclusionTest, WhatASiteSaysOfItsTokensIsCapped) {
  scheme_.mutable_influence()->set_weights("tokens");
  scheme_.mutable_influence()->set_influence_max(0.5);
  Store("a")->set_token_count(std::numeric_limits<uint64_t>::max());
  Store("b")->set_token_count(2000);
  Store("c")->set_token_count(1000);
  EXPECT_THAT(Weights(Decide()),
              ElementsAre(0.5, DoubleNear(1.0 / 3, 1e-12), DoubleNear(1.0 / 6, 1e-12)));
}

TEST_F(InclusionTest, TheCapIsOfASiteAlsoWhenALateContributionOfItCounts) {
  manifest_.mutable_rounds()->set_late("carry");
  manifest_.mutable_rounds()->set_late_discount(1);
  scheme_.mutable_influence()->set_influence_max(0.4);
  Member(0)->set_weight(5);
  for (int k : {1, 2, 3}) Member(k)->set_weight(1);
  Store("a", 9);
  for (const char* site : {"a", "b", "c"}) Store(site);
  const Inclusion inclusion = Decide();
  EXPECT_EQ(inclusion.fresh, 3);
  EXPECT_THAT(Weights(inclusion),  // of a's 0.4 the late one has half as much as the other
              ElementsAre(DoubleNear(0.4 / 3, 1e-15), DoubleNear(0.8 / 3, 1e-15),
                          DoubleNear(0.3, 1e-15), DoubleNear(0.3, 1e-15)));
}

TEST_F(InclusionTest, RulesThatIgnoreWeightsAreToldSo) {
  scheme_.set_combine("median");
  Member(0)->set_weight(5);
  for (int k : {1, 2, 3}) Member(k)->set_weight(1);
  for (const char* site : {"a", "b", "c", "d"}) Store(site);
  EXPECT_THAT(Weights(Decide()), ElementsAre(0.25, 0.25, 0.25, 0.25));
}

TEST_F(InclusionTest, ASiteWhoseOwnLossRoseCountsNothing) {
  scheme_.mutable_influence()->set_validation_rise_max(0.1);
  Store("a");  // declares none
  StoredContribution* within = Store("b");
  within->set_validation_before(3);
  within->set_validation_after(3.0625);
  StoredContribution* above = Store("c");
  above->set_validation_before(3);
  above->set_validation_after(3.25);
  StoredContribution* nonsense = Store("d");
  nonsense->set_validation_before(3);
  nonsense->set_validation_after(std::nan(""));
  const Inclusion inclusion = Decide();
  EXPECT_THAT(Weights(inclusion), ElementsAre(0.5, 0.5));
  EXPECT_EQ(inclusion.fresh, 2);
  ASSERT_EQ(inclusion.excluded.size(), 2);
  EXPECT_EQ(inclusion.excluded[0].contribution().site(), "c");
  EXPECT_THAT(inclusion.excluded[0].reason(), HasSubstr("from 3 to 3.25"));
  EXPECT_EQ(inclusion.excluded[1].contribution().site(), "d");
  scheme_.mutable_influence()->clear_validation_rise_max();
  EXPECT_EQ(Decide().included.size(), 4);
}

TEST_F(InclusionTest, ChangesAreScaledToTheWeightedMeanOfSteps) {
  scheme_.mutable_influence()->set_normalize_steps(true);
  Member(0)->set_weight(3);
  for (int k : {1, 2, 3}) Member(k)->set_weight(1);
  Store("a")->set_inner_steps(20);
  Store("b")->set_inner_steps(40);
  const double mean = 0.75 * 20 + 0.25 * 40;
  EXPECT_THAT(Scales(Decide()), ElementsAre(mean / 20, mean / 40));
}

TEST_F(InclusionTest, EqualStepsAreNotScaledAtAll) {
  scheme_.mutable_influence()->set_normalize_steps(true);
  for (const char* site : {"a", "b", "c"}) Store(site)->set_inner_steps(17);
  EXPECT_THAT(Scales(Decide()), ElementsAre(0, 0, 0));
}

TEST_F(InclusionTest, DelayedCountsItsDiscountAndTheBaseTheRest) {
  scheme_.set_asynchrony("delayed");
  manifest_.mutable_rounds()->set_late("carry");
  manifest_.mutable_rounds()->set_late_staleness_max(4);
  manifest_.mutable_rounds()->set_late_discount(0.5);
  Store("b", 7);
  const Inclusion inclusion = Decide();
  ASSERT_EQ(inclusion.included.size(), 1);
  EXPECT_EQ(inclusion.included[0].staleness(), 3);
  EXPECT_EQ(inclusion.included[0].weight(), 0.5);
  EXPECT_EQ(inclusion.base_weight, 0.5);
  EXPECT_EQ(inclusion.fresh, 1);
}

TEST_F(InclusionTest, WithoutABarrierABaseThatIsTooOldIsStillTooOld) {
  scheme_.set_asynchrony("delayed");
  manifest_.mutable_rounds()->set_late("carry");
  manifest_.mutable_rounds()->set_late_staleness_max(2);
  Store("b", 7);
  const Inclusion inclusion = Decide();
  EXPECT_TRUE(inclusion.included.empty());
  ASSERT_EQ(inclusion.excluded.size(), 1);
  EXPECT_THAT(inclusion.excluded[0].reason(), HasSubstr("3 versions old"));
}

TEST_F(InclusionTest, ElasticCountsWhole) {
  scheme_.set_asynchrony("elastic");
  manifest_.mutable_rounds()->set_late("carry");
  manifest_.mutable_rounds()->set_late_staleness_max(9);
  manifest_.mutable_rounds()->set_late_discount(1);
  Store("b", 7);
  const Inclusion inclusion = Decide();
  EXPECT_THAT(Weights(inclusion), ElementsAre(1));
  EXPECT_EQ(inclusion.base_weight, 0);
}

TEST_F(InclusionTest, WithADualAbsentSitesKeepTheirPart) {
  scheme_.set_dual(true);
  for (int k : {0, 1, 2, 3}) Member(k)->set_weight(k + 1);
  Member(3)->set_revoked(true);  // what it sent stays, too
  Store("a");
  Store("c");
  const Inclusion inclusion = Decide();
  EXPECT_THAT(Weights(inclusion), ElementsAre(DoubleEq(0.1), DoubleEq(0.3)));
  EXPECT_DOUBLE_EQ(inclusion.base_weight, 0.6);
  Store("b");
  EXPECT_DOUBLE_EQ(Decide().base_weight, 0.4);
}

}  // namespace
}  // namespace weft
