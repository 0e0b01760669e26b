// Fragments and steps ahead (Streaming DiLoCo): what a site takes, when, and that it does not
// matter when the order came.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/worker/training/tiny_federation.h"
#include "worker/training/schedule.h"

namespace weft {
namespace {

class TrainerOverlapTest : public ::testing::Test {
 protected:
  TrainerOverlapTest() { WriteTinyShards(shards_); }

  static void Shape(RoundOrder* order, uint32_t fragments, uint32_t delay, double alpha,
                    double pull) {
    ConsensusScheme* scheme = order->mutable_consensus();
    scheme->set_fragments(fragments);
    scheme->set_fragment_delay_steps(delay);
    scheme->set_alpha(alpha);
    scheme->set_pull(pull);
    scheme->mutable_influence()->set_validation_samples(3);
  }

  TestFolder folder_{"trainer_overlap"};
  const std::string shards_ = folder_ / "shards";
};

TEST_F(TrainerOverlapTest, ItDoesNotMatterWhenTheOrderCame) {
  for (const uint32_t fragments : {1u, 3u}) {
    for (const bool varied_steps : {false, true}) {
      TinyFederation federation(shards_);
      federation.shape = [&](RoundOrder* order) {
        Shape(order, fragments, 3, 0.7, 0.4);
        if (!varied_steps) return;
        // H by round.
        const uint32_t steps[] = {5, 8, 4};
        uint64_t begin = 0;
        for (uint64_t r = 0; r < order->round(); ++r) begin += steps[r];
        order->set_inner_steps(steps[order->round()]);
        order->set_first_step(begin);
        order->set_first_sample_step(begin);
        order->set_total_steps(17);
      };
      const TinyRun at_once = federation.Run();
      for (const std::vector<uint32_t>& late :
           std::vector<std::vector<uint32_t>>{{1, 1}, {3, 3}, {0, 2}, {3, 1}}) {
        SCOPED_TRACE(testing::PrintToString(late) + " steps late, fragments " +
                     std::to_string(fragments));
        federation.late = [&](uint64_t round) { return late[round]; };
        const TinyRun run = federation.Run();
        EXPECT_EQ(run.results, at_once.results);
        EXPECT_EQ(run.losses, at_once.losses);
        for (size_t r = 0; r < run.stats.size(); ++r) {
          EXPECT_EQ(run.stats[r].inner_steps, at_once.stats[r].inner_steps);
          EXPECT_EQ(run.stats[r].first_loss, at_once.stats[r].first_loss);
          EXPECT_EQ(run.stats[r].last_loss, at_once.stats[r].last_loss);
          EXPECT_EQ(run.stats[r].validation_before, at_once.stats[r].validation_before);
          EXPECT_EQ(run.stats[r].validation_after, at_once.stats[r].validation_after);
        }
      }
    }
  }
}

TEST_F(TrainerOverlapTest, OneFragmentWithoutDelayIsThePlainScheme) {
  TinyFederation federation(shards_);
  for (const double alpha : {1.0, 0.5}) {
    federation.shape = [&](RoundOrder* order) { Shape(order, 0, 0, alpha, 0.3); };
    const TinyRun plain = federation.Run();
    federation.shape = [&](RoundOrder* order) { Shape(order, 1, 0, alpha, 0.3); };
    const TinyRun one = federation.Run();
    EXPECT_EQ(one.results, plain.results);
    EXPECT_EQ(one.losses, plain.losses);
  }
}

// The path of the fragments, held to the plain one: when all of them change in every round, they
// are the whole vector.
TEST_F(TrainerOverlapTest, FragmentsThatAllChangeAreTheWholeVector) {
  for (const uint32_t count : {2u, 7u}) {
    auto plain = TinyTrainer(shards_), cut = TinyTrainer(shards_);
    for (uint64_t round = 0; round < 3; ++round) {
      const ParameterVector z = TinyVector(30 + round);
      RoundOrder order = TinyOrder(round, 4);
      Shape(&order, 0, 0, 0.5, 0.3);
      order.set_rho(PullStrength(order));  // for both: a pull is between two exchanges
      ASSERT_TRUE(plain->Round(order, {.base = z.Clone()}).ok());
      Shape(&order, count, 0, 0.5, 0.3);
      order.set_fragment(static_cast<uint32_t>(round % count));
      Bases bases;
      for (uint32_t g = 0; g < count; ++g) {
        order.add_fragment_digests(std::to_string(round) + "-" + std::to_string(g));
        const FragmentRange range = RangeOfFragment(z.size(), count, g);
        std::copy_n(z.data() + range.begin, range.size,
                    bases.fragments.emplace_back(range.size).data());
      }
      order.set_base_digest(order.fragment_digests(static_cast<int>(order.fragment())));
      ASSERT_TRUE(cut->Round(order, std::move(bases)).ok());
      ASSERT_EQ(Values(cut->vector()), Values(plain->vector()));
      const FragmentRange range = RangeOfFragment(z.size(), count, order.fragment());
      ASSERT_EQ(Values(cut->result()), Values(plain->vector().subspan(range.begin, range.size)));
    }
  }
}

TEST_F(TrainerOverlapTest, ADelayedBaseIsTakenAfterExactlySoManySteps) {
  auto trainer = TinyTrainer(shards_);
  RoundOrder order = TinyOrder(0, 6);
  order.mutable_consensus()->set_fragment_delay_steps(2);
  order.set_base_digest("first");
  ASSERT_TRUE(trainer->Round(order, {.base = TinyVector(1)}).ok());
  order.set_round(1);
  order.set_first_step(6);
  order.set_first_sample_step(6);
  order.set_base_digest("second");
  const ParameterVector z = TinyVector(2);
  ASSERT_TRUE(trainer->BeginRound(order, {.base = z.Clone()}).ok());
  for (int step = 0; step < 2; ++step) {
    EXPECT_FALSE(trainer->taken());
    EXPECT_NE(Values(trainer->vector()), Values(z.span()));
    ASSERT_TRUE(trainer->Step().ok());
  }
  EXPECT_TRUE(trainer->taken());
  EXPECT_EQ(Values(trainer->vector()), Values(z.span())) << "alpha 1 assigns";
}

TEST_F(TrainerOverlapTest, StepsAheadDoNotCountForAnOrderThatBeginsElsewhere) {
  const auto after = [&](uint64_t first_step) {
    auto trainer = TinyTrainer(shards_);
    RoundOrder order = TinyOrder(0, 6);
    order.mutable_consensus()->set_fragment_delay_steps(2);
    order.set_base_digest("first");
    EXPECT_TRUE(trainer->Round(order, {.base = TinyVector(1)}).ok());
    for (int step = 0; step < 2; ++step) {
      EXPECT_TRUE(trainer->CanStepAhead());
      const absl::StatusOr<StepReport> report = trainer->Step();
      EXPECT_EQ(report->clock_step, 6u + step);
      EXPECT_EQ(report->round, 1u);
    }
    EXPECT_FALSE(trainer->CanStepAhead());
    const std::vector<float> ahead = Values(trainer->vector());
    order.set_round(1);
    order.set_first_step(first_step);
    order.set_first_sample_step(first_step);
    EXPECT_TRUE(trainer->BeginRound(order, {.base = TinyVector(1)}).ok());
    EXPECT_EQ(Values(trainer->vector()), ahead) << "goes on from the vector as it is";
    return trainer->steps_done();
  };
  EXPECT_EQ(after(6), 2u);
  EXPECT_EQ(after(12), 0u);
}

TEST_F(TrainerOverlapTest, NothingIsTrainedAheadOfTheRunsLastStep) {
  auto trainer = TinyTrainer(shards_);
  RoundOrder order = TinyOrder(3, 6);
  order.mutable_consensus()->set_fragment_delay_steps(2);
  ASSERT_TRUE(trainer->Round(order, {.base = TinyVector(1)}).ok());
  EXPECT_FALSE(trainer->CanStepAhead());
}

}  // namespace
}  // namespace weft
