// What an order's scheme makes of an inner step: optimizer, form and target of the pull, samples,
// validation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/training/tiny_site.h"
#include "worker/training/trainer.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class TrainerSchemesTest : public ::testing::Test {
 protected:
  TrainerSchemesTest() { WriteTinyShards(shards_); }

  // SGD at one learning rate, unclipped, without decay: w - lr * g.
  static RoundOrder SgdOrder(double learning_rate) {
    RoundOrder order = TinyOrder(0, 4);
    InnerTraining* training = order.mutable_training();
    training->set_optimizer("sgd");
    training->set_learning_rate(learning_rate);
    training->set_learning_rate_min(learning_rate);
    training->set_warmup_steps(0);
    training->set_weight_decay(0);
    training->set_gradient_clip(0);
    return order;
  }
  // The vector after a step from TinyVector(1), pulled to TinyVector(2).
  std::vector<float> StepTo(double learning_rate, double rho, const std::string& form,
                            StepReport* report = nullptr) {
    RoundOrder order = SgdOrder(learning_rate);
    order.mutable_consensus()->set_pull_form(form);
    order.set_anchor_digest("anchor");
    order.set_rho(rho);
    auto trainer = TinyTrainer(shards_);
    Bases bases{.base = TinyVector(1), .fragments = {}, .anchor = TinyVector(2)};
    EXPECT_TRUE(trainer->BeginRound(order, std::move(bases)).ok());
    const absl::StatusOr<StepReport> step = trainer->Step();
    EXPECT_TRUE(step.ok()) << step.status();
    if (report != nullptr) *report = *step;
    return Values(trainer->vector());
  }
  static double Distance(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i]} - b[i], 2);
    return std::sqrt(sum);
  }

  TestFolder folder_{"trainer_schemes"};
  const std::string shards_ = folder_ / "shards";
};

// w_prox = (u + lr rho z) / (1 + lr rho), w_coupled = u - lr rho (w - z): they differ by
// lr rho ((w - u) + lr rho (u - z) / (1 + lr rho)), of second order in lr.
TEST_F(TrainerSchemesTest, TheCoupledPullIsTheProxToFirstOrder) {
  const auto difference = [&](double learning_rate) {
    return Distance(StepTo(learning_rate, 2, "prox"), StepTo(learning_rate, 2, "gradient"));
  };
  const double large = difference(0.02), half = difference(0.01), quarter = difference(0.005);
  EXPECT_NEAR(large / half, 4, 0.2);
  EXPECT_NEAR(half / quarter, 4, 0.2);
  // ... of something that is there to first order.
  const double first = Distance(StepTo(0.02, 2, "gradient"), StepTo(0.02, 0, "gradient"));
  EXPECT_NEAR(first / Distance(StepTo(0.01, 2, "gradient"), StepTo(0.01, 0, "gradient")), 2, 0.01);
  EXPECT_LT(large, 0.1 * first);
}

// Of the squared norm the gradient is rho (w - z), in proportion to the distance; of the norm
// itself it would be rho times a unit vector.
TEST_F(TrainerSchemesTest, TheCoupledPullIsTheGradientOfTheSquaredDistance) {
  const double learning_rate = 0.01, rho = 2;
  const std::vector<float> free = StepTo(learning_rate, 0, "gradient");
  const std::vector<float> pulled = StepTo(learning_rate, rho, "gradient");
  const ParameterVector w = TinyVector(1), z = TinyVector(2);
  for (size_t i = 0; i < free.size(); ++i) {
    ASSERT_NEAR(free[i] - pulled[i], learning_rate * rho * (w.data()[i] - z.data()[i]), 1e-6) << i;
  }
}

TEST_F(TrainerSchemesTest, TheCoupledPullIsPartOfTheNormThatIsClipped) {
  StepReport free, coupled, prox;
  StepTo(0.01, 0, "gradient", &free);
  StepTo(0.01, 50, "gradient", &coupled);
  StepTo(0.01, 50, "prox", &prox);
  EXPECT_GT(coupled.gradient_norm, 2 * free.gradient_norm);
  EXPECT_EQ(prox.gradient_norm, free.gradient_norm);
}

TEST_F(TrainerSchemesTest, ThePullGoesToTheAnchorWithTheOrdersStrength) {
  const std::vector<float> free = StepTo(0.01, 0, "prox"), pulled = StepTo(0.01, 5, "prox");
  const ParameterVector z = TinyVector(2);
  for (size_t i = 0; i < free.size(); ++i) {
    ASSERT_NEAR(pulled[i], (free[i] + 0.05 * z.data()[i]) / 1.05, 1e-6) << i;
  }
}

TEST_F(TrainerSchemesTest, SamplesFollowTheSitesClockAndTheLearningRateTheRuns) {
  const auto run = [&](uint64_t first_step, uint64_t first_sample_step) {
    RoundOrder order = TinyOrder(0, 4);
    order.set_first_step(first_step);
    order.set_first_sample_step(first_sample_step);
    order.mutable_training()->set_warmup_after_join_steps(0);
    auto trainer = TinyTrainer(shards_);
    EXPECT_TRUE(trainer->BeginRound(order, {.base = TinyVector()}).ok());
    const absl::StatusOr<StepReport> report = trainer->Step();
    EXPECT_EQ(report->clock_step, first_step);
    return std::pair(report->loss, report->learning_rate);
  };
  EXPECT_EQ(run(3, 5).first, run(9, 5).first) << "the same samples";
  EXPECT_NE(run(3, 5).first, run(3, 6).first);
  EXPECT_EQ(run(3, 5).second, run(3, 6).second);
  EXPECT_NE(run(3, 5).second, run(9, 5).second);
}

TEST_F(TrainerSchemesTest, ValidationLooksAtTheFirstHeldOutSamplesBeforeAndAfter) {
  RoundOrder order = TinyOrder(0, 20, 1);
  order.mutable_consensus()->mutable_influence()->set_validation_samples(6);
  auto trainer = TinyTrainer(shards_);
  const absl::StatusOr<RoundStats> stats = trainer->Round(order, {.base = TinyVector()});
  ASSERT_TRUE(stats.ok()) << stats.status();
  auto model = *Transformer::Create(TinyModel());
  const TokenDataset held_out =
      *TokenDataset::Open({shards_}, TinyTokenizerSha256(), 16, Split::kHeldOut);
  model->LoadParameters(TinyVector().span());
  EXPECT_EQ(stats->validation_before, *HeldOutLoss(model.get(), held_out, 6, 4));
  model->LoadParameters(trainer->vector());
  EXPECT_EQ(stats->validation_after, *HeldOutLoss(model.get(), held_out, 6, 4));
  EXPECT_GT(stats->validation_before, 4);
  EXPECT_NE(stats->validation_after, stats->validation_before);

  order.mutable_consensus()->clear_influence();
  auto unasked = TinyTrainer(shards_);
  const absl::StatusOr<RoundStats> none = unasked->Round(order, {.base = TinyVector()});
  EXPECT_EQ(none->validation_before, 0);
  EXPECT_EQ(none->validation_after, 0);
  EXPECT_EQ(Values(unasked->vector()), Values(trainer->vector())) << "looking changes nothing";
}

TEST_F(TrainerSchemesTest, RefusesToValidateOnTextThatIsNotThere) {
  RoundOrder order = TinyOrder(0, 4);
  order.mutable_consensus()->mutable_influence()->set_validation_samples(13);
  const absl::Status few = TinyTrainer(shards_)->BeginRound(order, {.base = TinyVector()});
  EXPECT_EQ(few.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(few.message()), HasSubstr("hold 12 held-out samples"));

  WriteTinyShards(folder_ / "no_held_out", 2000, 0);
  const absl::Status none =
      TinyTrainer(folder_ / "no_held_out")->BeginRound(order, {.base = TinyVector()});
  EXPECT_THAT(std::string(none.message()), HasSubstr("hold 0 held-out samples"));
}

TEST_F(TrainerSchemesTest, RefusesAnotherOptimizerAndMoreFragmentsThanThereAre) {
  auto trainer = TinyTrainer(shards_);
  ASSERT_TRUE(trainer->BeginRound(TinyOrder(0, 4), {.base = TinyVector()}).ok());
  const absl::Status other = trainer->BeginRound(SgdOrder(0.1), {.base = TinyVector()});
  EXPECT_THAT(std::string(other.message()), HasSubstr("this site trains with adamw"));

  RoundOrder order = TinyOrder(0, 4);
  order.mutable_consensus()->set_fragments(1000);
  for (int g = 0; g < 1000; ++g) order.add_fragment_digests("digest");
  order.set_base_digest("digest");
  EXPECT_THAT(std::string(trainer->BeginRound(order, Bases()).message()),
              HasSubstr("consensus.fragments is 1000"));
}

}  // namespace
}  // namespace weft
