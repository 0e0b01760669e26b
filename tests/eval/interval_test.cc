#include "eval/interval.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace weft {
namespace {

TEST(IntervalTest, IsTheTextbookRatioEstimateOnAFewTerms) {
  // By hand: R = 12/6 = 2; residuals 1 - 2, 5 - 4, 6 - 6 = -1, 1, 0; se^2 = 3/2 * 2 / 36; t(2)
  // = 4.302653.
  const RatioEstimate estimate = EstimateRatio({{1, 1}, {5, 2}, {6, 3}});
  EXPECT_DOUBLE_EQ(estimate.ratio, 2.0);
  ASSERT_TRUE(estimate.standard_error && estimate.interval);
  EXPECT_NEAR(*estimate.standard_error, std::sqrt(3.0 / 36), 1e-12);
  EXPECT_NEAR(estimate.interval->high - 2, 4.302653 * std::sqrt(3.0 / 36), 1e-6);
  EXPECT_NEAR(2 - estimate.interval->low, 4.302653 * std::sqrt(3.0 / 36), 1e-6);
}

TEST(IntervalTest, OneTermHasNoInterval) {
  const RatioEstimate estimate = EstimateRatio({{3, 2}});
  EXPECT_DOUBLE_EQ(estimate.ratio, 1.5);
  EXPECT_FALSE(estimate.standard_error);
  EXPECT_FALSE(estimate.interval);
}

TEST(IntervalTest, EqualTermsHaveAnIntervalOfNoWidth) {
  const RatioEstimate estimate = EstimateRatio({{4, 2}, {2, 1}, {2, 1}});
  ASSERT_TRUE(estimate.interval);
  EXPECT_DOUBLE_EQ(estimate.interval->low, 2.0);
  EXPECT_DOUBLE_EQ(estimate.interval->high, 2.0);
}

TEST(IntervalTest, StudentQuantilesAreThoseOfTheTables) {
  EXPECT_NEAR(StudentQuantile(1), 12.7062, 1e-4);
  EXPECT_NEAR(StudentQuantile(10), 2.2281, 1e-4);
  EXPECT_NEAR(StudentQuantile(10.7), 2.2281, 1e-4);
  EXPECT_NEAR(StudentQuantile(31), 2.0395, 1e-4);
  EXPECT_NEAR(StudentQuantile(32), 2.0369, 1e-4);
  EXPECT_NEAR(StudentQuantile(100), 1.9840, 1e-4);
  EXPECT_NEAR(StudentQuantile(1e12), 1.9600, 1e-4);
}

TEST(IntervalTest, DifferencesBetweenTextsAreNoChance) {
  // Two texts far apart that hardly vary inside: the pooled interval is narrow, that of one text of
  // both is wide.
  std::vector<std::vector<RatioTerm>> texts(2);
  std::vector<RatioTerm> together;
  for (int i = 0; i < 20; ++i) {
    texts[0].push_back({1.0 + 0.01 * (i % 3), 1});
    texts[1].push_back({5.0 + 0.01 * (i % 3), 1});
  }
  for (const auto& text : texts) together.insert(together.end(), text.begin(), text.end());
  const RatioEstimate pooled = EstimatePooledRatio(texts);
  const RatioEstimate one = EstimateRatio(together);
  EXPECT_DOUBLE_EQ(pooled.ratio, one.ratio);
  EXPECT_LT(*pooled.standard_error, 0.005);
  EXPECT_GT(*one.standard_error, 0.2);
}

TEST(IntervalTest, TextsOfOneWindowAreAStratumTogether) {
  EXPECT_FALSE(EstimatePooledRatio({{{1, 1}}, {{2, 1}, {3, 1}}}).interval);
  const RatioEstimate pooled = EstimatePooledRatio({{{1, 1}}, {{5, 2}}, {{6, 3}}});
  EXPECT_NEAR(*pooled.standard_error, std::sqrt(3.0 / 36), 1e-12);
}

// The claim itself: the interval holds the true ratio in about 95 % of draws, also when neighbours
// resemble each other and sizes vary, where intervals that take every window as independent hold it
// far less often.
TEST(IntervalTest, HoldsTheTruthInNineteenOfTwentyDraws) {
  std::mt19937_64 random(20240607);
  std::normal_distribution<double> normal;
  constexpr int kDraws = 2000;
  int held = 0;
  int held_by_independence = 0;
  for (int draw = 0; draw < kDraws; ++draw) {
    std::vector<RatioTerm> terms;
    double drift = normal(random) / std::sqrt(1 - 0.6 * 0.6);
    for (int i = 0; i < 640; ++i) {
      drift = 0.6 * drift + normal(random);
      const double bytes = 100 + 10 * normal(random);
      terms.push_back({2 * bytes + 10 * drift, bytes});
    }
    const RatioEstimate estimate = EstimateRatio(terms);
    held += estimate.interval->low <= 2 && 2 <= estimate.interval->high;
    double squares = 0;
    double denominator = 0;
    for (const RatioTerm& term : terms) {
      squares += std::pow(term.numerator - estimate.ratio * term.denominator, 2);
      denominator += term.denominator;
    }
    held_by_independence += std::abs(estimate.ratio - 2) <= 1.96 * std::sqrt(squares) / denominator;
  }
  EXPECT_NEAR(static_cast<double>(held) / kDraws, 0.95, 0.025);
  EXPECT_LT(static_cast<double>(held_by_independence) / kDraws, 0.8);
}

}  // namespace
}  // namespace weft
