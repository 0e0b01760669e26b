#include "worker/training/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "tests/worker/training/tiny_site.h"

namespace weft {
namespace {

InnerTraining Training() {
  InnerTraining training;
  training.set_learning_rate(0.8);
  training.set_learning_rate_min(0.2);
  training.set_warmup_steps(4);
  training.set_warmup_after_join_steps(10);
  return training;
}

// By hand: 0.8 (c + 1) / 4, then 0.2 + 0.3 (1 + cos(pi (c - 4) / 8)).
TEST(LearningRateTest, WarmsUpThenFollowsACosine) {
  const InnerTraining training = Training();
  EXPECT_DOUBLE_EQ(LearningRate(training, 0, 12), 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(training, 2, 12), 0.6);
  EXPECT_DOUBLE_EQ(LearningRate(training, 3, 12), 0.8);
  EXPECT_DOUBLE_EQ(LearningRate(training, 4, 12), 0.8);
  EXPECT_NEAR(LearningRate(training, 6, 12), 0.2 + 0.3 * (1 + std::sqrt(0.5)), 1e-15);
  EXPECT_DOUBLE_EQ(LearningRate(training, 8, 12), 0.5);
  EXPECT_DOUBLE_EQ(LearningRate(training, 12, 12), 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(training, 1000, 12), 0.2);
}

TEST(LearningRateTest, ARunShorterThanItsWarmUpOnlyWarmsUp) {
  EXPECT_DOUBLE_EQ(LearningRate(Training(), 1, 2), 0.4);
  EXPECT_DOUBLE_EQ(LearningRate(Training(), 5, 2), 0.2);
}

TEST(JoinFactorTest, GrowsToOneOverTheStepsAfterJoining) {
  EXPECT_DOUBLE_EQ(JoinFactor(Training(), 0), 0.1);
  EXPECT_DOUBLE_EQ(JoinFactor(Training(), 8), 0.9);
  EXPECT_DOUBLE_EQ(JoinFactor(Training(), 9), 1);
  EXPECT_DOUBLE_EQ(JoinFactor(Training(), 1000), 1);
  InnerTraining none = Training();
  none.set_warmup_after_join_steps(0);
  EXPECT_DOUBLE_EQ(JoinFactor(none, 0), 1);
}

TEST(PullStrengthTest, HStepsGoThePromisedPartOfTheWay) {
  for (const double pull : {0.05, 0.5, 0.99}) {
    for (const uint32_t steps : {1u, 30u, 500u}) {
      ConsensusScheme scheme;
      scheme.set_pull(pull);
      const double rho = PullStrength(scheme, steps, 3e-4);
      // w - z shrinks by 1 / (1 + lr rho) in each step.
      EXPECT_NEAR(1 - std::pow(1 + 3e-4 * rho, -static_cast<double>(steps)), pull, 1e-12);
    }
  }
  ConsensusScheme scheme;
  scheme.set_pull(0.5);
  const double rho = PullStrength(scheme, 40, 3e-4);
  scheme.set_fragments(4);
  EXPECT_EQ(PullStrength(scheme, 10, 3e-4), rho) << "a fragment is exchanged every four rounds";
  scheme.Clear();
  EXPECT_EQ(PullStrength(scheme, 30, 3e-4), 0);
  scheme.set_rho(0.25);
  EXPECT_EQ(PullStrength(scheme, 30, 3e-4), 0.25);
}

// Makes an order one of three fragments.
RoundOrder* FragmentOrder(RoundOrder* order) {
  order->mutable_consensus()->set_fragments(3);
  order->set_base_digest("a");
  for (const char* digest : {"a", "b", "c"}) order->add_fragment_digests(digest);
  return order;
}

TEST(PullStrengthTest, AnOrdersOwnRhoComesFirst) {
  RoundOrder order = TinyOrder(0, 4);
  order.mutable_consensus()->set_rho(0.25);
  EXPECT_EQ(PullStrength(order), 0.25);
  order.set_rho(2);
  EXPECT_EQ(PullStrength(order), 2);
}

TEST(CheckOrderTest, TakesEveryScheme) {
  RoundOrder fragments = TinyOrder(0, 4);
  FragmentOrder(&fragments)->mutable_consensus()->set_fragment_delay_steps(3);
  EXPECT_TRUE(CheckOrder(fragments).ok()) << CheckOrder(fragments);
  RoundOrder dual = TinyOrder(0, 4);
  dual.mutable_consensus()->set_dual(true);
  dual.mutable_consensus()->set_alpha(0);
  EXPECT_TRUE(CheckOrder(dual).ok()) << CheckOrder(dual);
  RoundOrder sgd = TinyOrder(0, 4);
  sgd.mutable_training()->set_optimizer("sgd");
  sgd.mutable_training()->clear_epsilon();
  EXPECT_TRUE(CheckOrder(sgd).ok()) << CheckOrder(sgd);
}

TEST(CheckOrderTest, TakesASoundOrderAndNamesTheFieldThatIsNot) {
  EXPECT_TRUE(CheckOrder(TinyOrder(0, 4)).ok()) << CheckOrder(TinyOrder(0, 4));
  const std::pair<const char*, std::function<void(RoundOrder*)>> wrong[] = {
      {"protocol_version", [](RoundOrder* o) { o->set_protocol_version(2); }},
      {"inner_steps", [](RoundOrder* o) { o->set_inner_steps(0); }},
      {"fragment", [](RoundOrder* o) { o->set_fragment(1); }},
      {"total_steps", [](RoundOrder* o) { o->set_total_steps(UINT64_MAX); }},
      {"alpha", [](RoundOrder* o) { o->mutable_consensus()->set_alpha(0); }},
      {"alpha", [](RoundOrder* o) { o->mutable_consensus()->set_alpha(1.1); }},
      {"pull", [](RoundOrder* o) { o->mutable_consensus()->set_pull(1); }},
      {"rho", [](RoundOrder* o) { o->mutable_consensus()->set_rho(-1); }},
      {"rho and pull",
       [](RoundOrder* o) {
         o->mutable_consensus()->set_rho(1);
         o->mutable_consensus()->set_pull(0.5);
       }},
      {"batch_size", [](RoundOrder* o) { o->mutable_training()->set_batch_size(0); }},
      {"sequence_length", [](RoundOrder* o) { o->mutable_training()->set_sequence_length(0); }},
      {"learning_rate", [](RoundOrder* o) { o->mutable_training()->set_learning_rate(0); }},
      {"learning_rate_min", [](RoundOrder* o) { o->mutable_training()->set_learning_rate_min(1); }},
      {"beta2", [](RoundOrder* o) { o->mutable_training()->set_beta2(1); }},
      {"epsilon", [](RoundOrder* o) { o->mutable_training()->set_epsilon(0); }},
      {"weight_decay", [](RoundOrder* o) { o->mutable_training()->set_weight_decay(NAN); }},
      {"optimizer is muon", [](RoundOrder* o) { o->mutable_training()->set_optimizer("muon"); }},
      {"rho", [](RoundOrder* o) { o->set_rho(-1); }},
      {"first_sample_step", [](RoundOrder* o) { o->set_first_sample_step(UINT64_MAX); }},
      {"mix_with", [](RoundOrder* o) { o->mutable_consensus()->set_mix_with("old"); }},
      {"pull_form", [](RoundOrder* o) { o->mutable_consensus()->set_pull_form("coupled"); }},
      {"validation_samples",
       [](RoundOrder* o) {
         o->mutable_consensus()->mutable_influence()->set_validation_samples(1u << 30);
       }},
      {"fragment is 3", [](RoundOrder* o) { FragmentOrder(o)->set_fragment(3); }},
      {"number of fragment_digests",
       [](RoundOrder* o) { FragmentOrder(o)->add_fragment_digests("c"); }},
      {"number of fragment_digests",
       [](RoundOrder* o) {
         o->add_fragment_digests("a");
         o->add_fragment_digests("b");
       }},
      {"another of fragment 1", [](RoundOrder* o) { FragmentOrder(o)->set_fragment(1); }},
      {"consensus.fragments is 5000",
       [](RoundOrder* o) { o->mutable_consensus()->set_fragments(5000); }},
      {"fragment_delay_steps is 4",
       [](RoundOrder* o) { o->mutable_consensus()->set_fragment_delay_steps(4); }},
      {"go with mix_with new",
       [](RoundOrder* o) { FragmentOrder(o)->mutable_consensus()->set_mix_with("previous"); }},
      {"without dual",
       [](RoundOrder* o) { FragmentOrder(o)->mutable_consensus()->set_dual(true); }},
      {"without dual and anchor",
       [](RoundOrder* o) {
         o->mutable_consensus()->set_fragment_delay_steps(1);
         o->set_anchor_digest("anchor");
       }},
  };
  for (const auto& [field, change] : wrong) {
    RoundOrder order = TinyOrder(0, 4);
    change(&order);
    const absl::Status status = CheckOrder(order);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(field));
  }
}

}  // namespace
}  // namespace weft
