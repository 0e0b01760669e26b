#include "coordinator/core/influence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace weft {
namespace {

using ::testing::DoubleEq;
using ::testing::DoubleNear;
using ::testing::ElementsAre;

TEST(InfluenceTest, WithoutWeightsEverySiteCountsTheSame) {
  EXPECT_THAT(*NormalizedWeights({0, 0, 0, 0}), ElementsAre(0.25, 0.25, 0.25, 0.25));
}

TEST(InfluenceTest, WeightsAreNormalised) {
  EXPECT_THAT(*NormalizedWeights({3, 1}), ElementsAre(DoubleEq(0.75), DoubleEq(0.25)));
}

TEST(InfluenceTest, RefusesWhatIsNoWeight) {
  EXPECT_FALSE(NormalizedWeights({}).ok());
  EXPECT_FALSE(NormalizedWeights({1, 0}).ok());
  EXPECT_FALSE(NormalizedWeights({1, -1}).ok());
  EXPECT_FALSE(NormalizedWeights({1, std::nan("")}).ok());
  EXPECT_FALSE(NormalizedWeights({1e308, 1e308}).ok());
}

TEST(CapWeightsTest, WhatIsAboveTheCapGoesToTheOthersInProportion) {
  EXPECT_THAT(CapWeights({0.7, 0.2, 0.1}, 0.5),
              ElementsAre(0.5, DoubleNear(1.0 / 3, 1e-15), DoubleNear(1.0 / 6, 1e-15)));
}

TEST(CapWeightsTest, ASiteThatTheRestPushesAboveTheCapIsCappedToo) {
  EXPECT_THAT(
      CapWeights({0.2, 0.6, 0.1, 0.1}, 0.3),
      ElementsAre(DoubleNear(0.3, 1e-15), 0.3, DoubleNear(0.2, 1e-15), DoubleNear(0.2, 1e-15)));
}

TEST(CapWeightsTest, ACapBelowOneNthMakesAllEqual) {
  EXPECT_THAT(CapWeights({0.9, 0.05, 0.04, 0.01}, 0.1), ElementsAre(0.25, 0.25, 0.25, 0.25));
  EXPECT_THAT(CapWeights({0.9, 0.1}, 0.5), ElementsAre(0.5, 0.5));
}

TEST(CapWeightsTest, WeightsWithinTheCapKeepTheirBits) {
  const std::vector<double> weights = *NormalizedWeights({0.1, 0.7, 0.31});
  EXPECT_EQ(CapWeights(weights, 0.9), weights);
  EXPECT_EQ(CapWeights(weights, 0), weights);
}

// The same by the words of the rule: fix what is above, renormalise the rest, repeat.
std::vector<double> CapSlowly(std::vector<double> weights, double cap) {
  std::vector<bool> fixed(weights.size(), false);
  for (size_t round = 0; round < weights.size(); ++round) {
    double left = 1, sum = 0;
    for (size_t k = 0; k < weights.size(); ++k) {
      if (weights[k] > cap) fixed[k] = true;
      if (fixed[k]) weights[k] = cap;
      if (fixed[k]) left -= cap;
      if (!fixed[k]) sum += weights[k];
    }
    for (size_t k = 0; k < weights.size(); ++k) {
      if (!fixed[k]) weights[k] *= left / sum;
    }
  }
  return weights;
}

TEST(CapWeightsTest, EqualsTheRepeatedRuleOnRandomWeights) {
  for (uint32_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::vector<double> raw(2 + random() % 12);
    for (double& weight : raw) weight = std::exp(static_cast<double>(random() % 1000) / 100);
    const std::vector<double> weights = *NormalizedWeights(raw);
    const auto count = static_cast<double>(weights.size());
    const double influence_max = 1.02 / count + static_cast<double>(random() % 100) / 110;
    const std::vector<double> capped = CapWeights(weights, influence_max);
    const std::vector<double> slow = CapSlowly(weights, influence_max);
    EXPECT_NEAR(std::accumulate(capped.begin(), capped.end(), 0.0), 1, 1e-12);
    for (size_t k = 0; k < weights.size(); ++k) {
      EXPECT_LE(capped[k], influence_max);
      EXPECT_NEAR(capped[k], slow[k], 1e-12) << k;
      for (size_t j = 0; j < k; ++j) {  // nobody overtakes anybody
        EXPECT_TRUE(weights[j] >= weights[k] || capped[j] <= capped[k]) << j << " " << k;
      }
    }
  }
}

TEST(HasSamePartsTest, LooksAtNamesAndWeightsOnly) {
  Membership before;
  for (const char* name : {"a", "b"}) before.add_sites()->set_name(name);
  Membership after = before;
  after.set_version(2);
  after.mutable_sites(1)->set_revoked(true);
  EXPECT_TRUE(HasSameParts(before, after));
  after.mutable_sites(0)->set_weight(2);
  EXPECT_FALSE(HasSameParts(before, after));
  after = before;
  after.add_sites()->set_name("c");
  EXPECT_FALSE(HasSameParts(before, after));
  EXPECT_FALSE(HasSameParts(after, before));
}

}  // namespace
}  // namespace weft
