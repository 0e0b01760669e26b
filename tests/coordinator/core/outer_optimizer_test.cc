// The outer optimizers against plain loops and an independent program.
#include "coordinator/core/outer_optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

OuterOptimizer Config(const std::string& name, double rate, double momentum,
                      bool nesterov = false) {
  OuterOptimizer config;
  config.set_name(name);
  config.set_learning_rate(rate);
  config.set_momentum(momentum);
  config.set_nesterov(nesterov);
  return config;
}

OuterOptimizer AdamConfig(double rate, double tau = 1e-3) {
  OuterOptimizer config = Config("adam", rate, 0.9);
  config.set_beta2(0.99);
  config.set_tau(tau);
  return config;
}

// State vectors as they are before the first step, and steps with them.
struct Stepped {
  explicit Stepped(const OuterOptimizer& config, std::vector<float> start)
      : update(*MakeOuterUpdate(config)), z(std::move(start)), next(z.size()) {
    for (const float initial : update->initial_state()) state.emplace_back(z.size(), initial);
  }
  void Step(const std::vector<double>& combined) {
    std::vector<absl::Span<float>> spans;
    for (std::vector<float>& vector : state) spans.push_back(absl::MakeSpan(vector));
    update->Step(z, combined, spans, absl::MakeSpan(next));
    for (size_t i = 0; i < z.size(); ++i) z[i] = static_cast<float>(next[i]);
  }
  std::unique_ptr<OuterUpdate> update;
  std::vector<float> z;
  std::vector<double> next;
  std::vector<std::vector<float>> state;
};

TEST(OuterOptimizerTest, SgdWithRateOneGivesTheCombinationExactly) {
  const std::vector<double> combined = {1.0f, 1e-30f, -5};
  Stepped sgd(Config("sgd", 1.0, 0), {1e-8f, 3, 1e30f});
  EXPECT_THAT(sgd.state, IsEmpty());
  sgd.Step(combined);
  EXPECT_EQ(sgd.next, combined);
}

TEST(OuterOptimizerTest, SgdWithMomentumFollowsItsFormula) {
  Stepped sgd(Config("sgd", 0.5, 0.5), {2});
  ASSERT_THAT(sgd.state, ElementsAre(ElementsAre(0.0f)));
  sgd.state[0][0] = 0.5;
  sgd.Step({1});
  EXPECT_FLOAT_EQ(sgd.state[0][0], 0.5 * 0.5 + 1);
  EXPECT_DOUBLE_EQ(sgd.next[0], 2 - 0.5 * 1.25);
}

TEST(OuterOptimizerTest, NesterovFollowsPyTorchsForm) {
  for (const OuterOptimizer& config :
       {Config("nesterov", 0.5, 0.5), Config("sgd", 0.5, 0.5, true)}) {
    Stepped nesterov(config, {2});
    nesterov.state.at(0)[0] = 0.5;
    nesterov.Step({1});
    EXPECT_FLOAT_EQ(nesterov.state[0][0], 1.25);
    EXPECT_DOUBLE_EQ(nesterov.next[0], 2 - 0.5 * (1 + 0.5 * 1.25));
  }
}

// Printed by tests/golden/fedadam.py.
TEST(AdamTest, EqualsAnIndependentProgram) {
  Stepped adam(AdamConfig(0.01), {0.5f, -0.25f, 1e-3f, 100.0f});
  ASSERT_EQ(adam.state.size(), 2);
  EXPECT_EQ(adam.state[0], std::vector<float>(4, 0.0f));
  EXPECT_EQ(adam.state[1], std::vector<float>(4, 1e-6f));  // tau^2
  adam.Step({0.49, -0.25, 2e-3, 101.0});
  EXPECT_THAT(adam.z, ElementsAre(0x1.fbc092p-2f, -0.25f, 0x1.89374cp-10f, 0x1.900a24p+6f));
  adam.Step({0.51, -0.2, -1e-3, 99.0});
  EXPECT_THAT(adam.z,
              ElementsAre(0x1.fd837ep-2f, -0x1.ef347ep-3f, 0x1.745ddep-11f, 0x1.90095ap+6f));
  adam.Step({0.4, -0.26, 1e-3, 100.5});
  EXPECT_THAT(adam.z,
              ElementsAre(0x1.f4d3e2p-2f, -0x1.e69d0ap-3f, 0x1.28001ap-13f, 0x1.900c06p+6f));
  EXPECT_THAT(adam.state[0],
              ElementsAre(0x1.308a7cp-7f, -0x1.5f43a8p-9f, 0x1.e27158p-14f, -0x1.4116eap-5f));
  EXPECT_THAT(adam.state[1],
              ElementsAre(0x1.9fcd46p-14f, 0x1.e71786p-16f, 0x1.17edaep-20f, 0x1.6d80c2p-6f));
}

// How far the consensus is from its goal in the end, as a part of how far it began: weights of 0.02
// that rounds bring nearer by a twentieth, and blur by up to 3e-3, as a transformer's do.
double EndsAt(double rate, uint32_t seed) {
  std::mt19937 random(seed);
  const auto draw = [&random] { return static_cast<double>(random()) / 2147483648.0 - 1; };
  Stepped adam(AdamConfig(rate), std::vector<float>(256, 0.02f));
  double squares = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<double> combined;
    for (const float z : adam.z) combined.push_back(0.95 * z + 3e-3 * draw());
    adam.Step(combined);
    if (round < 200) continue;
    for (const float z : adam.z) squares += double{z} * z;
  }
  return std::sqrt(squares / (100 * 256)) / 0.02;
}

TEST(AdamTest, ThePapersRateThrowsSmallWeightsAboutAndASmallerOneConverges) {
  for (const uint32_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_GT(EndsAt(0.1, seed), 1.2);
    EXPECT_LT(EndsAt(0.01, seed), 0.7);
    EXPECT_LT(EndsAt(0.003, seed), 0.4);
  }
}

TEST(OuterOptimizerTest, RefusesWhatIsOutOfRange) {
  EXPECT_FALSE(MakeOuterUpdate(Config("sgd", 0, 0)).ok());
  EXPECT_FALSE(MakeOuterUpdate(Config("sgd", std::numeric_limits<double>::infinity(), 0)).ok());
  EXPECT_FALSE(MakeOuterUpdate(Config("sgd", 1, 1)).ok());
  EXPECT_FALSE(MakeOuterUpdate(Config("sgd", 1, -0.1)).ok());
  EXPECT_FALSE(MakeOuterUpdate(Config("sgd", 1, std::nan(""))).ok());
  EXPECT_THAT(std::string(MakeOuterUpdate(Config("lion", 1, 0)).status().message()),
              HasSubstr("sgd, nesterov, adam"));
}

TEST(AdamTest, RefusesWhatIsOutOfRangeOrOfAnother) {
  EXPECT_TRUE(MakeOuterUpdate(AdamConfig(0.01)).ok());
  EXPECT_FALSE(MakeOuterUpdate(AdamConfig(0.01, 0)).ok());
  EXPECT_FALSE(MakeOuterUpdate(AdamConfig(0.01, 1e-30)).ok());  // tau^2 would be zero
  OuterOptimizer config = AdamConfig(0.01);
  config.set_beta2(1);
  EXPECT_FALSE(MakeOuterUpdate(config).ok());
  config = AdamConfig(0.01);
  config.set_nesterov(true);
  EXPECT_FALSE(MakeOuterUpdate(config).ok());
  config = AdamConfig(0.01);
  config.set_name("sgd");
  EXPECT_THAT(std::string(MakeOuterUpdate(config).status().message()), HasSubstr("beta2"));
}

}  // namespace
}  // namespace weft
