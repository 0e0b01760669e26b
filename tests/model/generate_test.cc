#include "model/generate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "model/random.h"
#include "tests/model/small_config.h"

namespace weft {
namespace {

using testing::RandomTokens;
using testing::RandomVector;
using testing::SmallConfig;

class GenerateTest : public ::testing::Test {
 protected:
  GenerateTest() {
    SetComputeThreads(1);
    model_ = *Transformer::Create(SmallConfig());
    model_->LoadParameters(RandomVector(model_->layout().element_count(), 1));
  }
  std::vector<int32_t> Run(const GenerateOptions& options) {
    return *Generate(model_.get(), prompt_, options);
  }
  std::unique_ptr<Transformer> model_;
  std::vector<int32_t> prompt_ = RandomTokens(5, 2);
};

TEST_F(GenerateTest, GreedyWithTheCacheIsGreedyWithoutIt) {
  std::vector<int32_t> whole = prompt_, tokens;
  for (int i = 0; i < 30; ++i) {
    const std::vector<float> logits = model_->Logits(whole);
    const auto last = logits.end() - 256;
    tokens.push_back(static_cast<int32_t>(std::max_element(last, logits.end()) - last));
    whole.push_back(tokens.back());
  }
  EXPECT_EQ(Run({.token_count_max = 30, .temperature = 0}), tokens);
}

TEST_F(GenerateTest, TopOneIsGreedy) {
  EXPECT_EQ(Run({.token_count_max = 30, .top_k = 1, .seed = 5}),
            Run({.token_count_max = 30, .temperature = 0}));
}

TEST_F(GenerateTest, SeedDecides) {
  const GenerateOptions options{.token_count_max = 30, .temperature = 2, .seed = 5};
  EXPECT_EQ(Run(options), Run(options));
  GenerateOptions other = options;
  other.seed = 6;
  EXPECT_NE(Run(options), Run(other));
}

TEST_F(GenerateTest, EndsWhereTheContextIsFull) {
  std::vector<int32_t> seen;
  const GenerateOptions options{.token_count_max = 1000};
  const auto tokens =
      Generate(model_.get(), prompt_, options, [&](int32_t token) { seen.push_back(token); });
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ(tokens->size(), 64u - 5u);
  EXPECT_EQ(seen, *tokens);
}

TEST_F(GenerateTest, EndsBeforeTheEndToken) {
  const std::vector<int32_t> greedy = Run({.token_count_max = 30, .temperature = 0});
  const GenerateOptions options{.token_count_max = 30, .temperature = 0, .end_token = greedy[3]};
  const auto first = std::find(greedy.begin(), greedy.end(), greedy[3]);
  EXPECT_EQ(Run(options), std::vector<int32_t>(greedy.begin(), first));
}

TEST_F(GenerateTest, RefusesWhatItCannotContinue) {
  EXPECT_FALSE(Generate(model_.get(), {}, {}).ok());
  EXPECT_FALSE(Generate(model_.get(), {256}, {}).ok());
  EXPECT_FALSE(Generate(model_.get(), {-1}, {}).ok());
  EXPECT_FALSE(Generate(model_.get(), RandomTokens(64, 1), {}).ok());
  EXPECT_FALSE(Generate(model_.get(), prompt_, {.temperature = -1}).ok());
  EXPECT_FALSE(Generate(model_.get(), prompt_, {.temperature = std::nan("")}).ok());
  EXPECT_FALSE(Generate(model_.get(), prompt_, {.top_k = -1}).ok());
  EXPECT_FALSE(Generate(model_.get(), prompt_, {.top_p = 0}).ok());
}

// Probabilities 0.4, 0.3, 0.2, 0.1, in an order of ids that is not that of probability.
const std::vector<float>& Logits() {
  static const std::vector<float> logits = {std::log(0.2f), std::log(0.4f), std::log(0.1f),
                                            std::log(0.3f)};
  return logits;
}

std::map<int32_t, double> Frequencies(const GenerateOptions& options) {
  std::map<int32_t, double> frequencies;
  for (int i = 0; i < 100000; ++i) {
    frequencies[SampleToken(Logits(), options, UnitAt(SplitMix64(3), i))] += 1e-5;
  }
  return frequencies;
}

void ExpectNear(const std::map<int32_t, double>& got, const std::map<int32_t, double>& want) {
  ASSERT_EQ(got.size(), want.size());
  // Five standard deviations of a frequency of 100,000 draws are at most 0.008.
  for (const auto& [token, p] : want) EXPECT_NEAR(got.at(token), p, 0.008) << token;
}

TEST(SampleToken, FollowsTheDistribution) {
  ExpectNear(Frequencies({}), {{1, 0.4}, {3, 0.3}, {0, 0.2}, {2, 0.1}});
}

TEST(SampleToken, TemperatureRaisesProbabilitiesToAPower) {
  const double total = 0.16 + 0.09 + 0.04 + 0.01;
  ExpectNear(Frequencies({.temperature = 0.5}),
             {{1, 0.16 / total}, {3, 0.09 / total}, {0, 0.04 / total}, {2, 0.01 / total}});
}

TEST(SampleToken, TopKKeepsTheLikeliest) {
  ExpectNear(Frequencies({.top_k = 2}), {{1, 4.0 / 7}, {3, 3.0 / 7}});
}

TEST(SampleToken, TopPKeepsTheFewestThatReachIt) {
  ExpectNear(Frequencies({.top_p = 0.65}), {{1, 4.0 / 7}, {3, 3.0 / 7}});
  ExpectNear(Frequencies({.top_p = 0.75}), {{1, 4.0 / 9}, {3, 3.0 / 9}, {0, 2.0 / 9}});
  ExpectNear(Frequencies({.top_p = 0.01}), {{1, 1.0}});
}

}  // namespace
}  // namespace weft
