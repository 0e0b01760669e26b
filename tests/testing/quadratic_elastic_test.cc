// Elastic averaging (Zhang, Choromanska and LeCun 2015), with and without a barrier, on convex
// problems: what one side gains the other gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/quadratic_federation.h"
#include "tests/testing/recording_solver.h"

namespace weft::testing {
namespace {

constexpr double kRate = 0.05;
constexpr uint32_t kSteps = 4;

// Where an order's steps began: gradient descent on a quadratic can be undone,
// x = c + (1 - eta a)^H (start - c).
std::vector<double> StartOf(const Quadratic& problem, const std::vector<float>& x) {
  std::vector<double> start(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double shrink = std::pow(1 - kRate * problem.curvature[i], kSteps);
    start[i] = problem.optimum[i] + (x[i] - problem.optimum[i]) / shrink;
  }
  return start;
}

struct Recorded {
  std::vector<SolvedOrders> sites;
  std::vector<std::vector<float>> consensus;  // after each round
  FederationResult result;
};

Recorded RunRecorded(const std::vector<Quadratic>& problems, const RunManifest& manifest,
                     std::function<double(size_t, const RoundOrder&)> seconds) {
  Recorded recorded;
  recorded.sites.resize(problems.size());
  FederationOptions options = QuadraticFederation(problems, manifest);
  for (size_t k = 0; k < problems.size(); ++k) {
    options.sites[k].solver =
        std::make_unique<RecordingSolver>(std::move(options.sites[k].solver), &recorded.sites[k]);
  }
  options.seconds = std::move(seconds);
  options.on_round = [&](const RoundRecord&, absl::Span<const float> z) {
    recorded.consensus.emplace_back(z.begin(), z.end());
  };
  recorded.result = MustRun(std::move(options));
  return recorded;
}

RunManifest Elastic(uint32_t rounds, double alpha, double beta) {
  RunManifest manifest = QuadraticManifest(3, rounds, kSteps, kRate);
  manifest.mutable_consensus()->set_preset("elastic");
  manifest.mutable_consensus()->set_mix_with("previous");
  manifest.mutable_consensus()->set_alpha(alpha);
  manifest.mutable_consensus()->mutable_outer()->set_learning_rate(beta);
  return manifest;
}

// Equations 5 and 6 with alpha = beta / K: sum x_k + z stays as it is while both sides move.
TEST(QuadraticElasticTest, WithABarrierBothSidesTogetherMoveByNothing) {
  const std::vector<Quadratic> problems = UnevenProblems();
  const uint32_t rounds = 12;
  const Recorded recorded = RunRecorded(problems, Elastic(rounds, 0.9 / 3, 0.9), nullptr);
  double moved = 0;
  for (uint32_t round = 1; round < rounds; ++round) {
    for (size_t i = 0; i < 4; ++i) {
      double before = round == 1 ? 0 : recorded.consensus[round - 2][i];
      double after = recorded.consensus[round - 1][i];
      moved += std::abs(after - before);
      for (size_t k = 0; k < problems.size(); ++k) {
        before += recorded.sites[k][round - 1].vector[i];
        after += StartOf(problems[k], recorded.sites[k][round].vector)[i];
      }
      ASSERT_NEAR(before, after, 1e-4) << "round " << round << ", element " << i;
    }
  }
  EXPECT_GT(moved, 1);
}

TEST(QuadraticElasticTest, ASitesVectorStaysItsOwnAndTheConsensusLiesBetweenThem) {
  const std::vector<Quadratic> problems = UnevenProblems();
  const Recorded recorded = RunRecorded(problems, Elastic(60, 0.9 / 3, 0.9), nullptr);
  const absl::Span<const float> z = recorded.result.consensus.span();
  for (size_t k = 0; k < problems.size(); ++k) {
    const double own = Distance(recorded.result.sites[k].vector, problems[k].optimum);
    EXPECT_LT(own, Distance(z, problems[k].optimum)) << k;
  }
}

// Algorithm 1: on each exchange e = alpha (x - z) is added to z and taken from x.
TEST(QuadraticElasticTest, WithoutABarrierEachExchangeMovesBothSidesByTheSame) {
  const std::vector<Quadratic> problems = UnevenProblems();
  const double alpha = 0.3;
  RunManifest manifest = QuadraticManifest(3, 40, kSteps, kRate);
  ConsensusScheme* scheme = manifest.mutable_consensus();
  scheme->set_preset("elastic_async");
  scheme->set_asynchrony("elastic");
  scheme->set_alpha(alpha);
  scheme->mutable_outer()->set_learning_rate(alpha);
  manifest.mutable_rounds()->set_quorum(1);
  manifest.mutable_rounds()->set_late("carry");
  manifest.mutable_rounds()->set_late_staleness_max(16);
  const Recorded recorded = RunRecorded(problems, manifest, [](size_t site, const RoundOrder&) {
    return 1.0 + 0.37 * static_cast<double>(site);
  });
  ASSERT_EQ(recorded.result.rounds.size(), 40u);
  size_t exchanges = 0;
  std::vector<size_t> next(problems.size());
  for (size_t round = 0; round < 40; ++round) {
    ASSERT_EQ(recorded.result.rounds[round].contributions_size(), 1);
    const std::string& name = recorded.result.rounds[round].contributions(0).site();
    const size_t k = static_cast<size_t>(name.back() - '0');
    const std::vector<float>& x = recorded.sites[k][next[k]].vector;
    for (size_t i = 0; i < 4; ++i) {
      const double met = round == 0 ? 0 : recorded.consensus[round - 1][i];
      const double e = alpha * (x[i] - met);
      ASSERT_NEAR(recorded.consensus[round][i], met + e, 1e-5) << "round " << round;
      if (next[k] + 1 >= recorded.sites[k].size()) continue;
      const std::vector<double> start = StartOf(problems[k], recorded.sites[k][next[k] + 1].vector);
      ASSERT_NEAR(start[i], x[i] - e, 1e-4) << "round " << round;
      ++exchanges;
    }
    ++next[k];
  }
  EXPECT_GT(exchanges, 100u);
  EXPECT_GT(next[0], next[2]) << "the faster site has exchanged more often";
}

}  // namespace
}  // namespace weft::testing
