#include "tests/testing/in_process_federation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/quadratic_federation.h"
#include "tests/testing/trainer_solver.h"
#include "tests/worker/training/tiny_site.h"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;

std::vector<float> Bits(absl::Span<const float> vector) { return {vector.begin(), vector.end()}; }

class InProcessFederationTest : public ::testing::Test {
 protected:
  InProcessFederationTest() { WriteTinyShards(shards_); }

  // The tiny site's orders as a run.
  static RunManifest Manifest(size_t sites, uint32_t rounds, uint32_t inner_steps) {
    const RoundOrder order = TinyOrder(0, inner_steps, rounds);
    RunManifest manifest = QuadraticManifest(sites, rounds, inner_steps, 1);
    manifest.set_seed(order.seed());
    *manifest.mutable_model() = order.model();
    *manifest.mutable_training() = order.training();
    manifest.set_tokenizer_sha256(order.tokenizer_sha256());
    return manifest;
  }

  FederationOptions Options(const std::vector<std::string>& names, const RunManifest& manifest) {
    FederationOptions options;
    options.manifest = manifest;
    for (const std::string& name : names) {
      std::unique_ptr<Trainer> trainer = TinyTrainer(shards_);
      options.layout = trainer->layout();
      options.sites.push_back(
          {.name = name, .solver = std::make_unique<TrainerSolver>(std::move(trainer))});
    }
    options.initial = TinyVector();
    return options;
  }

  TestFolder folder_{"in_process_federation"};
  const std::string shards_ = folder_ / "shards";
};

// fedavg, outer SGD 1.0: the consensus is the site's vector, and rounds are only a way to count.
TEST_F(InProcessFederationTest, OneSiteIsPlainLocalTrainingBitForBit) {
  const FederationResult result = MustRun(Options({"alba"}, Manifest(1, 4, 5)));

  std::unique_ptr<Trainer> plain = TinyTrainer(shards_);
  RoundOrder order = TinyOrder(0, 20, 1);
  order.set_site("alba");
  ASSERT_TRUE(plain->Round(order, {.base = TinyVector()}).ok());
  EXPECT_EQ(Bits(result.consensus.span()), Bits(plain->vector()));
  EXPECT_EQ(result.sites[0].inner_steps, 20u);
  EXPECT_EQ(result.sites[0].token_count, 20u * 4 * 16);
  ASSERT_EQ(result.rounds.size(), 4u);
  EXPECT_EQ(result.rounds[3].contributions_size(), 1);
}

TEST_F(InProcessFederationTest, TheResultDoesNotDependOnTheThreads) {
  FederationOptions one = Options({"alba", "brena", "corva"}, Manifest(3, 3, 4));
  FederationOptions three = Options({"alba", "brena", "corva"}, Manifest(3, 3, 4));
  three.threads = 3;
  const FederationResult a = MustRun(std::move(one));
  const FederationResult b = MustRun(std::move(three));
  EXPECT_EQ(Bits(a.consensus.span()), Bits(b.consensus.span()));
  EXPECT_NE(Bits(a.sites[0].vector.span()), Bits(a.sites[1].vector.span()));
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(Bits(a.sites[k].vector.span()), Bits(b.sites[k].vector.span())) << k;
  }
}

TEST_F(InProcessFederationTest, ASlowSiteIsCutAtItsDeadlineAndCountsWithWhatItHas) {
  RunManifest manifest = QuadraticManifest(2, 3, 10, 0.1);
  manifest.mutable_rounds()->set_round_seconds_max(12);
  manifest.mutable_rounds()->set_upload_seconds(2);
  manifest.mutable_rounds()->set_inner_steps_min(2);
  FederationOptions options = QuadraticFederation({{{1.0}, {4.0}}, {{1.0}, {-4.0}}}, manifest);
  options.seconds = [](size_t site, const RoundOrder&) { return site == 1 ? 25.0 : 10.0; };
  const FederationResult result = MustRun(std::move(options));
  EXPECT_EQ(result.sites[0].inner_steps, 30u);
  EXPECT_EQ(result.sites[1].inner_steps, 12u) << "10 s of 25 are 4 steps of 10";
  EXPECT_EQ(result.sites[1].rounds, 3u);
  EXPECT_NEAR(result.simulated_seconds, 30, 1);
}

TEST_F(InProcessFederationTest, SaysWhatItCannotRun) {
  const auto refusal = [](FederationOptions options) {
    return std::string(RunFederation(std::move(options)).status().message());
  };
  const RunManifest manifest = QuadraticManifest(1, 1, 1, 0.1);
  FederationOptions options = QuadraticFederation({{{1.0}, {4.0}}}, manifest);
  options.initial = ParameterVector(3);
  EXPECT_THAT(refusal(std::move(options)), HasSubstr("the initial vector is not of the layout"));
  options = QuadraticFederation({{{1.0}, {4.0}}, {{1.0}, {4.0}}}, manifest);
  std::swap(options.sites[0].name, options.sites[1].name);
  EXPECT_THAT(refusal(std::move(options)), HasSubstr("in the order of their names"));
  // Learning rate 3 of a curvature of 1 doubles the distance with every step.
  options = QuadraticFederation({{{1.0}, {4.0}}}, QuadraticManifest(1, 1, 1000, 3));
  EXPECT_THAT(refusal(std::move(options)), HasSubstr("site-0: "));
}

}  // namespace
}  // namespace weft::testing
