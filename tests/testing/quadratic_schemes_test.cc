// What the schemes promise, on convex problems with known optima, through the production parts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/testing/quadratic_federation.h"

namespace weft::testing {
namespace {

std::vector<float> Values(const ParameterVector& vector) {
  return {vector.span().begin(), vector.span().end()};
}

// McMahan et al. 2017: with H = 1 and inner SGD, the mean of the sites' vectors is one step of
// gradient descent on the sum of their losses.
TEST(QuadraticSchemesTest, FedavgOfSingleStepsIsLargeBatchGradientDescent) {
  const std::vector<Quadratic> problems = UnevenProblems();
  const double rate = 0.1;
  const uint32_t rounds = 40;
  const FederationResult result =
      MustRun(QuadraticFederation(problems, QuadraticManifest(3, rounds, 1, rate)));
  std::vector<double> w(4);
  for (uint32_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < w.size(); ++i) {
      double gradient = 0;
      for (const Quadratic& p : problems) gradient += p.curvature[i] * (w[i] - p.optimum[i]) / 3;
      w[i] -= rate * gradient;
    }
  }
  EXPECT_LT(Distance(result.consensus, w), 1e-5);
  EXPECT_GT(Distance(result.consensus, {0, 0, 0, 0}), 1);
}

// Where sites bend differently, many local steps lead to a mean of their optima that is not the
// optimum of their sum (Li et al. 2020, section 3; Charles and Konecny 2021): w = sum c_k (1 -
// (1 - eta a_k)^H) / sum (1 - (1 - eta a_k)^H).
TEST(QuadraticSchemesTest, FedavgOfManyStepsHasABiasedFixedPointAndSingleStepsHaveNone) {
  const std::vector<Quadratic> problems = UnevenProblems();
  const std::vector<double> optimum = PooledOptimum(problems);
  const double rate = 0.2;
  const uint32_t inner_steps = 20;
  std::vector<double> biased(4);
  for (size_t i = 0; i < biased.size(); ++i) {
    double sum = 0, weight = 0;
    for (const Quadratic& p : problems) {
      const double way = 1 - std::pow(1 - rate * p.curvature[i], inner_steps);
      sum += way * p.optimum[i];
      weight += way;
    }
    biased[i] = sum / weight;
  }
  const FederationResult single =
      MustRun(QuadraticFederation(problems, QuadraticManifest(3, 100, 1, rate)));
  const FederationResult many =
      MustRun(QuadraticFederation(problems, QuadraticManifest(3, 30, inner_steps, rate)));
  EXPECT_LT(Distance(single.consensus, optimum), 1e-5);
  EXPECT_LT(Distance(many.consensus, biased), 1e-5);
  EXPECT_GT(Distance(many.consensus, optimum), 0.5);
}

// The pull lessens that bias, and keeps sites near the consensus: nearly 1 keeps them there.
TEST(QuadraticSchemesTest, APullKeepsSitesTogetherAndLessensTheBias) {
  const std::vector<Quadratic> problems = UnevenProblems();
  const std::vector<double> optimum = PooledOptimum(problems);
  double spread_before = std::numeric_limits<double>::infinity();
  double bias_before = std::numeric_limits<double>::infinity();
  double spread_first = 0;
  for (const double pull : {0.0, 0.5, 0.9, 0.999}) {
    RunManifest manifest = QuadraticManifest(3, 100, 10, 0.1);
    manifest.mutable_consensus()->set_pull(pull);
    const FederationResult result = MustRun(QuadraticFederation(problems, manifest));
    double spread = 0;
    for (const SiteTotals& site : result.sites) {
      const auto z = result.consensus.span();
      spread += Distance(site.vector, {z.begin(), z.end()});
    }
    const double bias = Distance(result.consensus, optimum);
    EXPECT_LT(spread, 0.9 * spread_before) << "pull " << pull;
    EXPECT_LT(bias, 0.9 * bias_before) << "pull " << pull;
    if (pull == 0) spread_first = spread;
    spread_before = spread;
    bias_before = bias;
  }
  EXPECT_LT(spread_before, 0.2 * spread_first);
}

TEST(QuadraticSchemesTest, NesterovMomentumReachesTheOptimumOfSingleSteps) {
  const std::vector<Quadratic> problems = UnevenProblems();
  RunManifest manifest = QuadraticManifest(3, 150, 1, 0.1);
  manifest.mutable_consensus()->mutable_outer()->set_learning_rate(0.7);
  manifest.mutable_consensus()->mutable_outer()->set_momentum(0.9);
  manifest.mutable_consensus()->mutable_outer()->set_nesterov(true);
  const FederationResult result = MustRun(QuadraticFederation(problems, manifest));
  EXPECT_LT(Distance(result.consensus, PooledOptimum(problems)), 1e-4);
}

TEST(QuadraticSchemesTest, TheMembershipsWeightsDecideWhoseOptimumItIs) {
  const std::vector<Quadratic> problems = {{{1.0}, {4.0}}, {{1.0}, {-4.0}}};
  FederationOptions options = QuadraticFederation(problems, QuadraticManifest(2, 30, 5, 0.5));
  options.sites[0].weight = 3;
  options.sites[1].weight = 1;
  EXPECT_NEAR(MustRun(std::move(options)).consensus.data()[0], 2.0, 1e-5);
}

// bf16 keeps 8 bits of a change, and sites that want different things change by some units in every
// round.
TEST(QuadraticSchemesTest, EncodedChangesLeadNearlyToTheSamePlaceAndCostHalf) {
  const std::vector<Quadratic> problems = UnevenProblems();
  RunManifest manifest = QuadraticManifest(3, 30, 4, 0.1);
  const FederationResult plain = MustRun(QuadraticFederation(problems, manifest));
  manifest.mutable_encodings()->set_up("delta_bf16");
  manifest.mutable_encodings()->set_down("delta_bf16");
  const FederationResult encoded = MustRun(QuadraticFederation(problems, manifest));
  const auto z = plain.consensus.span();
  EXPECT_LT(Distance(encoded.consensus, {z.begin(), z.end()}), 0.01);
  const uint64_t header = 128, elements = 4;
  EXPECT_EQ(plain.sites[0].bytes_up, 30 * (header + 4 * elements));
  EXPECT_EQ(encoded.sites[0].bytes_up, 30 * (header + 2 * elements));
  EXPECT_EQ(encoded.sites[0].bytes_down, 30 * (header + 2 * elements));
}

TEST(QuadraticSchemesTest, ARoundGoesOnWithItsQuorumWhereASiteIsAway) {
  const std::vector<Quadratic> problems = UnevenProblems();
  RunManifest manifest = QuadraticManifest(3, 60, 5, 0.1);
  manifest.mutable_rounds()->set_quorum(2);
  FederationOptions options = QuadraticFederation(problems, manifest);
  options.seconds = [](size_t site, const RoundOrder&) {
    return site == 2 ? std::numeric_limits<double>::infinity() : 5.0;
  };
  const FederationResult two = MustRun(std::move(options));
  const FederationResult expected =
      MustRun(QuadraticFederation({problems[0], problems[1]}, QuadraticManifest(2, 60, 5, 0.1)));
  EXPECT_EQ(Values(two.consensus), Values(expected.consensus));
  EXPECT_EQ(two.sites[2].rounds, 0u);
  EXPECT_EQ(two.sites[1].rounds, 60u);
}

}  // namespace
}  // namespace weft::testing
