// What the schemes promise, on convex problems with known optima, through the production parts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "model/parameters/fragment_range.h"
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

// A round is of one contribution, discounted by its staleness. Sites of one speed that come one
// after the other are all as stale as each other, and single steps then lead to the optimum of all,
// as with a barrier.
TEST(QuadraticSchemesTest, DelayedSingleStepsOfEquallyFastSitesReachThePooledOptimum) {
  const std::vector<Quadratic> problems = UnevenProblems();
  RunManifest manifest = QuadraticManifest(3, 600, 1, 0.04);
  manifest.mutable_consensus()->set_preset("delayed");
  manifest.mutable_consensus()->set_asynchrony("delayed");
  manifest.mutable_consensus()->mutable_outer()->set_learning_rate(1.0 / 3);
  manifest.mutable_rounds()->set_quorum(1);
  manifest.mutable_rounds()->set_late("carry");
  manifest.mutable_rounds()->set_late_staleness_max(16);
  manifest.mutable_rounds()->set_late_discount(0.5);
  FederationOptions options = QuadraticFederation(problems, manifest);
  options.seconds = [](size_t site, const RoundOrder& order) {
    return order.base_version() == 0 ? 1.0 + 0.3 * static_cast<double>(site) : 1.0;
  };
  const FederationResult result = MustRun(std::move(options));
  EXPECT_EQ(result.rounds.back().contributions(0).staleness(), 2u);
  // Within a step of single sites, which the consensus takes one after the other.
  EXPECT_LT(Distance(result.consensus, PooledOptimum(problems)), 0.2);
  for (const SiteTotals& site : result.sites) EXPECT_NEAR(site.rounds, 200, 2) << site.name;
}

// Li et al. 2020 (FedNova: Wang et al. 2020, equation 10): who does more steps pulls the consensus
// to its own optimum, unless changes are scaled to the same number of steps.
TEST(QuadraticSchemesTest, NormalizedStepsTakeTheAdvantageFromTheFasterSite) {
  const std::vector<Quadratic> problems = {{{1.0}, {4.0}}, {{1.0}, {-4.0}}};
  const auto consensus = [&](bool normalize) {
    RunManifest manifest = QuadraticManifest(2, 60, 10, 0.02);
    manifest.mutable_rounds()->set_round_seconds_max(12);
    manifest.mutable_rounds()->set_upload_seconds(2);
    manifest.mutable_rounds()->set_inner_steps_min(2);
    manifest.mutable_consensus()->mutable_influence()->set_normalize_steps(normalize);
    FederationOptions options = QuadraticFederation(problems, manifest);
    options.seconds = [](size_t site, const RoundOrder&) { return site == 1 ? 25.0 : 10.0; };
    return MustRun(std::move(options)).consensus.data()[0];
  };
  EXPECT_GT(consensus(false), 1.0);
  EXPECT_NEAR(consensus(true), 0.0, 0.3);
}

TEST(QuadraticSchemesTest, AMedianKeepsItsPlaceWhereAMeanIsDraggedAway) {
  std::vector<Quadratic> problems(4, {{1.0}, {1.0}});
  problems.push_back({{1.0}, {-1000.0}});
  RunManifest manifest = QuadraticManifest(5, 20, 5, 0.2);
  const FederationResult mean = MustRun(QuadraticFederation(problems, manifest));
  EXPECT_LT(mean.consensus.data()[0], -100);
  manifest.mutable_consensus()->set_combine("median");
  const FederationResult median = MustRun(QuadraticFederation(problems, manifest));
  EXPECT_NEAR(median.consensus.data()[0], 1.0, 1e-3);
}

TEST(QuadraticSchemesTest, FedadamComesNearTheOptimumOfSingleSteps) {
  const std::vector<Quadratic> problems = UnevenProblems();
  RunManifest manifest = QuadraticManifest(3, 250, 1, 0.1);
  OuterOptimizer* outer = manifest.mutable_consensus()->mutable_outer();
  outer->set_name("adam");
  outer->set_learning_rate(0.05);
  outer->set_momentum(0.9);
  outer->set_beta2(0.99);
  outer->set_tau(1e-3);
  const FederationResult result = MustRun(QuadraticFederation(problems, manifest));
  EXPECT_LT(Distance(result.consensus, PooledOptimum(problems)), 0.2);
}

// Three problems of 600 elements, so that a vector can be cut.
std::vector<Quadratic> WideProblems() {
  std::vector<Quadratic> wide(3);
  const std::vector<Quadratic> problems = UnevenProblems();
  for (size_t k = 0; k < wide.size(); ++k) {
    for (size_t i = 0; i < 600; ++i) {
      wide[k].curvature.push_back(problems[k].curvature[i % 4] * (1 + 0.001 * i));
      wide[k].optimum.push_back(problems[k].optimum[i % 4]);
    }
  }
  return wide;
}

// Streaming DiLoCo (Douillard et al. 2025): one fragment, taken at once, is the plain scheme.
TEST(QuadraticSchemesTest, OneFragmentWithoutDelayIsThePlainSchemeBitForBit) {
  RunManifest manifest = QuadraticManifest(3, 6, 5, 0.1);
  manifest.mutable_consensus()->set_pull(0.5);
  const FederationResult plain = MustRun(QuadraticFederation(WideProblems(), manifest));
  manifest.mutable_consensus()->set_fragments(1);
  const FederationResult one = MustRun(QuadraticFederation(WideProblems(), manifest));
  EXPECT_EQ(Values(one.consensus), Values(plain.consensus));
}

// The problem's elements do not know of each other, so a fragment that is exchanged every second
// round of 5 steps goes the way of a whole vector in rounds of 10. The first fragment's first
// exchange comes 5 steps earlier.
TEST(QuadraticSchemesTest, TwoFragmentsOfFiveStepsGoTheWayOfTenSteps) {
  const FederationResult whole =
      MustRun(QuadraticFederation(WideProblems(), QuadraticManifest(3, 12, 10, 0.1)));
  RunManifest manifest = QuadraticManifest(3, 24, 5, 0.1);
  manifest.mutable_consensus()->set_fragments(2);
  const FederationResult parts = MustRun(QuadraticFederation(WideProblems(), manifest));
  for (size_t i = 0; i < 600; ++i) {
    if (i >= kFragmentGrain) {
      EXPECT_EQ(parts.consensus.data()[i], whole.consensus.data()[i]) << i;
    } else {
      EXPECT_NEAR(parts.consensus.data()[i], whole.consensus.data()[i], 0.02) << i;
    }
  }
  EXPECT_NEAR(parts.sites[0].bytes_up, whole.sites[0].bytes_up, 12 * 128);
}

// A fragment that is taken some steps late still leads there: sites go on from their own.
TEST(QuadraticSchemesTest, FragmentsThatAreTakenLateAndInPartLeadToTheOptimumToo) {
  RunManifest manifest = QuadraticManifest(3, 60, 5, 0.02);
  manifest.mutable_consensus()->set_fragments(2);
  manifest.mutable_consensus()->set_fragment_delay_steps(2);
  manifest.mutable_consensus()->set_alpha(0.5);
  manifest.mutable_consensus()->set_pull(0.5);
  FederationResult result = MustRun(QuadraticFederation(WideProblems(), manifest));
  const std::vector<double> optimum = PooledOptimum(WideProblems());
  const double begun = Distance(ParameterVector(600), optimum);
  EXPECT_LT(Distance(result.consensus, optimum), 0.5 * begun);
}

}  // namespace
}  // namespace weft::testing
