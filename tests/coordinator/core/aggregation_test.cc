// Weights, the mean and the outer optimizers, against plain loops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "coordinator/core/aggregator.h"
#include "coordinator/core/influence.h"
#include "coordinator/core/outer_optimizer.h"

namespace weft {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

OuterOptimizer Config(const std::string& name, double rate, double momentum,
                      bool nesterov = false) {
  OuterOptimizer config;
  config.set_name(name);
  config.set_learning_rate(rate);
  config.set_momentum(momentum);
  config.set_nesterov(nesterov);
  return config;
}

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

TEST(MeanTest, IsTheWeightedSumInSiteOrder) {
  const std::vector<float> a = {1, 2, 1e8f}, b = {3, -2, 1}, c = {5, 7, -1e8f};
  std::vector<double> combined(3, 99);
  (*MakeAggregator("mean"))->Combine({a, b, c}, {0.5, 0.25, 0.25}, absl::MakeSpan(combined));
  EXPECT_THAT(combined, ElementsAre(0.5 * 1 + 0.25 * 3 + 0.25 * 5, 0.5 * 2 - 0.25 * 2 + 0.25 * 7,
                                    0.5 * 1e8 + 0.25 * 1 - 0.25 * 1e8));
}

TEST(MeanTest, UnknownRuleIsRefusedWithTheKnownOnes) {
  EXPECT_THAT(std::string(MakeAggregator("median").status().message()), HasSubstr("mean"));
}

TEST(OuterOptimizerTest, SgdWithRateOneGivesTheCombinationExactly) {
  const std::vector<float> z = {1e-8f, 3, 1e30f};
  const std::vector<double> combined = {1.0f, 1e-30f, -5};
  std::vector<double> next(3);
  auto sgd = *MakeOuterUpdate(Config("sgd", 1.0, 0));
  EXPECT_FALSE(sgd->has_momentum());
  sgd->Step(z, combined, {}, absl::MakeSpan(next));
  EXPECT_EQ(next, combined);
}

TEST(OuterOptimizerTest, SgdWithMomentumFollowsItsFormula) {
  const std::vector<float> z = {2};
  const std::vector<double> combined = {1};
  std::vector<float> momentum = {0.5};
  std::vector<double> next(1);
  (*MakeOuterUpdate(Config("sgd", 0.5, 0.5)))
      ->Step(z, combined, absl::MakeSpan(momentum), absl::MakeSpan(next));
  EXPECT_FLOAT_EQ(momentum[0], 0.5 * 0.5 + 1);
  EXPECT_DOUBLE_EQ(next[0], 2 - 0.5 * 1.25);
}

TEST(OuterOptimizerTest, NesterovFollowsPyTorchsForm) {
  const std::vector<float> z = {2};
  const std::vector<double> combined = {1};
  for (const OuterOptimizer& config :
       {Config("nesterov", 0.5, 0.5), Config("sgd", 0.5, 0.5, true)}) {
    std::vector<float> momentum = {0.5};
    std::vector<double> next(1);
    (*MakeOuterUpdate(config))->Step(z, combined, absl::MakeSpan(momentum), absl::MakeSpan(next));
    EXPECT_FLOAT_EQ(momentum[0], 1.25);
    EXPECT_DOUBLE_EQ(next[0], 2 - 0.5 * (1 + 0.5 * 1.25));
  }
}

TEST(OuterOptimizerTest, RefusesWhatIsOutOfRange) {
  EXPECT_FALSE(MakeOuterUpdate(Config("adam", 0.5, 0)).ok());
  EXPECT_FALSE(MakeOuterUpdate(Config("sgd", 0, 0)).ok());
  EXPECT_FALSE(MakeOuterUpdate(Config("sgd", std::numeric_limits<double>::infinity(), 0)).ok());
  EXPECT_FALSE(MakeOuterUpdate(Config("sgd", 1, 1)).ok());
  EXPECT_FALSE(MakeOuterUpdate(Config("sgd", 1, -0.1)).ok());
}

}  // namespace
}  // namespace weft
