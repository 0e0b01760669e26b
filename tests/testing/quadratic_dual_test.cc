// Consensus ADMM (Boyd et al. 2011, section 7) on convex problems: many local steps, and yet the
// optimum of all together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "model/random.h"
#include "tests/testing/quadratic_federation.h"

namespace weft::testing {
namespace {

RunManifest Admm(uint32_t rounds, double rho) {
  RunManifest manifest = QuadraticManifest(3, rounds, 30, 0.2);
  manifest.mutable_consensus()->set_preset("admm");
  manifest.mutable_consensus()->set_dual(true);
  manifest.mutable_consensus()->set_alpha(0);
  manifest.mutable_consensus()->set_rho(rho);
  return manifest;
}

TEST(QuadraticDualTest, AdmmReachesThePooledOptimumWhereFedavgDoesNot) {
  const std::vector<Quadratic> problems = UnevenProblems();
  const std::vector<double> optimum = PooledOptimum(problems);
  const FederationResult result = MustRun(QuadraticFederation(problems, Admm(60, 1)));
  EXPECT_LT(Distance(result.consensus, optimum), 1e-3);
  for (const SiteTotals& site : result.sites) {
    EXPECT_LT(Distance(site.vector, optimum), 1e-2) << site.name;
  }
  RunManifest fedavg = QuadraticManifest(3, 60, 30, 0.2);
  EXPECT_GT(Distance(MustRun(QuadraticFederation(problems, fedavg)).consensus, optimum), 0.5);
}

// What an absent site sent last keeps its part, and its dual waits for it.
TEST(QuadraticDualTest, AdmmReachesItAlsoWithSitesAwayAtRandom) {
  const std::vector<Quadratic> problems = UnevenProblems();
  constexpr uint64_t kSeed = 11;
  std::printf("sites are away by seed %d\n", static_cast<int>(kSeed));
  RunManifest manifest = Admm(150, 1);
  manifest.mutable_rounds()->set_quorum(2);
  FederationOptions options = QuadraticFederation(problems, manifest);
  options.seconds = [](size_t site, const RoundOrder& order) {
    // In three rounds of four somebody is away; the first round is everybody's.
    const double drawn = 4 * UnitAt(SplitMix64(kSeed), order.round());
    const bool away = order.round() > 0 && static_cast<size_t>(drawn) == site;
    return away ? std::numeric_limits<double>::infinity() : 30.0;
  };
  const FederationResult result = MustRun(std::move(options));
  uint64_t contributions = 0;
  for (const SiteTotals& site : result.sites) contributions += site.rounds;
  EXPECT_LT(contributions, 150u * 3 - 60);
  EXPECT_LT(Distance(result.consensus, PooledOptimum(problems)), 5e-3);
}

// Boyd et al. 2011, section 3.4.1: rho follows the residuals from a bad start.
TEST(QuadraticDualTest, ABadRhoIsAdapted) {
  const std::vector<Quadratic> problems = UnevenProblems();
  RunManifest manifest = Admm(60, 0.01);
  const double fixed =
      Distance(MustRun(QuadraticFederation(problems, manifest)).consensus, PooledOptimum(problems));
  manifest.mutable_consensus()->set_adapt_rho(true);
  const FederationResult adapted = MustRun(QuadraticFederation(problems, manifest));
  EXPECT_LT(Distance(adapted.consensus, PooledOptimum(problems)), 0.5 * fixed);
  EXPECT_GT(adapted.rounds.back().rho(), 0.01);
}

TEST(QuadraticDualTest, LossyEncodingsLeadThereToo) {
  const std::vector<Quadratic> problems = UnevenProblems();
  for (const char* encoding : {"delta_bf16", "delta_int8", "delta_int4"}) {
    RunManifest manifest = Admm(80, 1);
    manifest.mutable_encodings()->set_up(encoding);
    manifest.mutable_encodings()->set_down(encoding);
    const FederationResult result = MustRun(QuadraticFederation(problems, manifest));
    EXPECT_LT(Distance(result.consensus, PooledOptimum(problems)), 2e-2) << encoding;
  }
}

}  // namespace
}  // namespace weft::testing
