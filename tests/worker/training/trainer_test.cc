#include "worker/training/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/training/tiny_site.h"
#include "worker/training/schedule.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() { WriteTinyShards(shards_); }
  TestFolder folder_{"trainer"};
  const std::string shards_ = folder_ / "shards";
};

TEST_F(TrainerTest, TheLossGoesDownOnATextThatRepeats) {
  auto trainer = TinyTrainer(shards_);
  absl::StatusOr<RoundStats> stats = trainer->Round(TinyOrder(0, 60, 1), {.base = TinyVector()});
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GT(stats->first_loss, 3.5) << "log(128) = 4.85 before it has learnt";
  EXPECT_LT(stats->last_loss, 2.0);
  EXPECT_EQ(stats->inner_steps, 60);
  EXPECT_EQ(stats->token_count, 60 * 4 * 16);
}

TEST_F(TrainerTest, ALearningRateFollowsTheRunsClockAndWarmsUpAfterALateJoin) {
  auto from_the_start = TinyTrainer(shards_);
  ASSERT_TRUE(from_the_start->BeginRound(TinyOrder(0, 4), {.base = TinyVector()}).ok());
  EXPECT_DOUBLE_EQ(from_the_start->Step()->learning_rate, 0.005);

  auto late = TinyTrainer(shards_);
  const RoundOrder order = TinyOrder(2, 4);
  ASSERT_TRUE(late->BeginRound(order, {.base = TinyVector()}).ok());
  for (int own = 0; own < 4; ++own) {
    const absl::StatusOr<StepReport> report = late->Step();
    EXPECT_EQ(report->clock_step, 8 + own);
    EXPECT_DOUBLE_EQ(report->learning_rate,
                     LearningRate(order.training(), 8 + own, 16) * (own + 1) / 5);
  }
  ASSERT_TRUE(late->BeginRound(TinyOrder(3, 4), {.base = TinyVector()}).ok());
  EXPECT_DOUBLE_EQ(late->Step()->learning_rate, LearningRate(order.training(), 12, 16));
}

TEST_F(TrainerTest, AlphaMixesTheNewConsensusIntoTheSitesVector) {
  auto trainer = TinyTrainer(shards_);
  RoundOrder order = TinyOrder(0, 3);
  order.mutable_consensus()->set_alpha(0.25);
  const ParameterVector first = TinyVector(1), second = TinyVector(2);
  ASSERT_TRUE(trainer->BeginRound(order, {.base = first.Clone()}).ok());
  EXPECT_EQ(Values(trainer->vector()), Values(first.span())) << "the first base is assigned";
  while (!trainer->round_done()) ASSERT_TRUE(trainer->Step().ok());
  const std::vector<float> x = Values(trainer->vector());

  order.set_round(1);
  order.set_first_step(3);
  ASSERT_TRUE(trainer->BeginRound(order, {.base = second.Clone()}).ok());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(trainer->vector()[i], x[i] + 0.25f * (second.data()[i] - x[i])) << i;
  }

  order.set_round(2);
  order.mutable_consensus()->set_alpha(1);
  ASSERT_TRUE(trainer->BeginRound(order, {.base = first.Clone()}).ok());
  EXPECT_EQ(Values(trainer->vector()), Values(first.span())) << "alpha 1 assigns";
}

TEST_F(TrainerTest, ThePullKeepsASiteNearerToItsBase) {
  const ParameterVector base = TinyVector();
  const auto distance = [&](double pull) {
    auto trainer = TinyTrainer(shards_);
    RoundOrder order = TinyOrder(0, 20, 1);
    order.mutable_consensus()->set_pull(pull);
    EXPECT_TRUE(trainer->Round(order, {.base = base.Clone()}).ok());
    double sum = 0;
    for (uint64_t i = 0; i < base.size(); ++i) {
      const double d = trainer->vector()[i] - base.data()[i];
      sum += d * d;
    }
    return std::sqrt(sum);
  };
  EXPECT_LT(distance(0.9), 0.8 * distance(0));
}

TEST_F(TrainerTest, TwoRoundsFromOwnVectorsAreOneLongRound) {
  auto one = TinyTrainer(shards_);
  ASSERT_TRUE(one->Round(TinyOrder(0, 12, 1), {.base = TinyVector()}).ok());

  auto two = TinyTrainer(shards_);
  RoundOrder order = TinyOrder(0, 6, 2);
  ASSERT_TRUE(two->Round(order, {.base = TinyVector()}).ok());
  ParameterVector x(two->vector().size());
  std::copy(two->vector().begin(), two->vector().end(), x.data());
  ASSERT_TRUE(two->Round(TinyOrder(1, 6, 2), {.base = std::move(x)}).ok());
  EXPECT_EQ(Values(one->vector()), Values(two->vector()));
}

TEST_F(TrainerTest, AResumedTrainerGivesTheSameBits) {
  RoundOrder order = TinyOrder(1, 10);
  order.mutable_consensus()->set_pull(0.5);
  const ParameterVector base = TinyVector();
  auto undisturbed = TinyTrainer(shards_);
  const absl::StatusOr<RoundStats> expected = undisturbed->Round(order, {.base = base.Clone()});

  CheckpointFolder checkpoints = *CheckpointFolder::Open(folder_ / "checkpoints");
  {
    auto trainer = TinyTrainer(shards_);
    ASSERT_TRUE(trainer->BeginRound(order, {.base = base.Clone()}).ok());
    for (int i = 0; i < 7; ++i) ASSERT_TRUE(trainer->Step().ok());
    ASSERT_TRUE(trainer->SaveCheckpoint(&checkpoints).ok());
    ASSERT_TRUE(trainer->Step().ok());  // after the checkpoint: lost
  }
  std::vector<std::string> warnings;
  std::optional<Checkpoint> checkpoint = *checkpoints.LoadNewest(&warnings);
  ASSERT_TRUE(checkpoint.has_value());
  EXPECT_EQ(checkpoint->header.data_position(), (10 + 7) * 4);
  auto trainer = TinyTrainer(shards_);
  std::string warning;
  ASSERT_TRUE(trainer->Resume(*std::move(checkpoint), {.base = base.Clone()}, &warning).ok());
  EXPECT_EQ(warning, "");
  EXPECT_EQ(trainer->steps_done(), 7);
  while (!trainer->round_done()) ASSERT_TRUE(trainer->Step().ok());
  EXPECT_EQ(Values(trainer->vector()), Values(undisturbed->vector()));
  EXPECT_EQ(trainer->stats().first_loss, expected->first_loss);
  EXPECT_EQ(trainer->stats().last_loss, expected->last_loss);
}

TEST_F(TrainerTest, RefusesACheckpointOfAnotherModelAndSaysWhenTheDataChanged) {
  CheckpointFolder checkpoints = *CheckpointFolder::Open(folder_ / "checkpoints");
  auto trainer = TinyTrainer(shards_);
  ASSERT_TRUE(trainer->BeginRound(TinyOrder(0, 4), {.base = TinyVector()}).ok());
  ASSERT_TRUE(trainer->SaveCheckpoint(&checkpoints).ok());
  std::vector<std::string> warnings;

  Checkpoint other = **checkpoints.LoadNewest(&warnings);
  other.header.set_layout_digest(ToHex(Sha256("another")));
  std::string warning;
  EXPECT_THAT(std::string(TinyTrainer(shards_)
                              ->Resume(std::move(other), {.base = TinyVector()}, &warning)
                              .message()),
              HasSubstr("of another model"));

  WriteTinyShards(folder_ / "more", 3000);
  auto with_more = TinyTrainer(folder_ / "more");
  Checkpoint checkpoint = **checkpoints.LoadNewest(&warnings);
  ASSERT_TRUE(with_more->Resume(std::move(checkpoint), {.base = TinyVector()}, &warning).ok());
  EXPECT_THAT(warning, HasSubstr("the checkpoint's had"));
}

TEST_F(TrainerTest, RefusesAnOrderThatTheDataDoNotFit) {
  auto trainer = TinyTrainer(shards_);
  RoundOrder order = TinyOrder(0, 4);
  order.mutable_training()->set_sequence_length(8);
  EXPECT_EQ(trainer->BeginRound(order, {.base = TinyVector()}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(TrainerTest, SaysWhenTrainingDiverges) {
  auto trainer = TinyTrainer(shards_);
  ParameterVector base = TinyVector();
  base.data()[3 * 16] = std::numeric_limits<float>::infinity();  // of a token that is in the text
  ASSERT_TRUE(trainer->BeginRound(TinyOrder(0, 4), {.base = std::move(base)}).ok());
  const absl::Status status = trainer->Step().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()), HasSubstr("diverged at step 0"));
}

}  // namespace
}  // namespace weft
