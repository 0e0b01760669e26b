// Every combination rule against a slow one of its own, on ordinary and on hostile numbers, and the
// properties that it is chosen for.
#include "coordinator/core/aggregator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "tests/coordinator/core/aggregation_cases.h"

namespace weft {
namespace {

using testing::Case;
using testing::Combine;
using ::testing::DoubleNear;
using testing::DrawCase;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Norm;
using testing::Scheme;
using testing::Vectors;

constexpr uint32_t kSeeds = 300;

#define FOR_EACH_SEED(seed)                       \
  for (uint32_t seed = 1; seed <= kSeeds; ++seed) \
    if (SCOPED_TRACE("seed " + std::to_string(seed)); true)

// d_k = scale_k (x_k - z), by the formula.
std::vector<std::vector<double>> Changes(const Case& c) {
  std::vector<std::vector<double>> changes;
  for (size_t k = 0; k < c.x.size(); ++k) {
    changes.emplace_back();
    for (size_t i = 0; i < c.z.size(); ++i) {
      changes[k].push_back(c.cohort.scales[k] * (double{c.x[k][i]} - double{c.z[i]}));
    }
  }
  return changes;
}

double Distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

double SumOfDistances(const std::vector<std::vector<double>>& changes,
                      const std::vector<double>& v) {
  double sum = 0;
  for (const std::vector<double>& change : changes) sum += Distance(change, v);
  return sum;
}

std::vector<double> ChangeOf(const Case& c, const std::vector<double>& combined) {
  std::vector<double> change = combined;
  for (size_t i = 0; i < change.size(); ++i) change[i] -= c.z[i];
  return change;
}

// Within `tolerance` of the greatest number that goes in.
void ExpectNear(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << i;
}

TEST(MeanTest, IsTheWeightedSumInSiteOrder) {
  Case c = DrawCase(1, 3, 0);
  c.z = {5, 6, 7};
  c.x = {{1, 2, 1e8f}, {3, -2, 1}, {5, 7, -1e8f}};
  c.cohort.weights = {0.5, 0.25, 0.25};
  EXPECT_THAT(Combine(Scheme("mean"), c),
              ElementsAre(0.5 * 1 + 0.25 * 3 + 0.25 * 5, 0.5 * 2 - 0.25 * 2 + 0.25 * 7,
                          0.5 * 1e8 + 0.25 * 1 - 0.25 * 1e8));
}

TEST(MeanTest, TheBaseAndScaledChangesCountAsTheFormulaSays) {
  FOR_EACH_SEED(seed) {
    Case c = DrawCase(seed, 2 + seed % 5, 0);
    c.cohort.base_weight = 0.3;
    for (double& weight : c.cohort.weights) weight *= 0.7;
    for (size_t k = 0; k < c.x.size(); ++k) c.cohort.scales[k] = 0.5 + static_cast<double>(k);
    const auto changes = Changes(c);
    std::vector<double> want(c.z.begin(), c.z.end());
    for (size_t i = 0; i < want.size(); ++i) {
      for (size_t k = 0; k < c.x.size(); ++k) want[i] += c.cohort.weights[k] * changes[k][i];
    }
    ExpectNear(Combine(Scheme("mean"), c), want, 1e-13);
  }
}

TEST(TrimmedMeanTest, EqualsSortingEachCoordinate) {
  FOR_EACH_SEED(seed) {
    const uint32_t trimmed = 1 + seed % 3;
    const Case c = DrawCase(seed, 2 * trimmed + 1 + seed % 4, trimmed);
    const std::vector<double> got = Combine(Scheme("trimmed_mean", trimmed), c);
    for (size_t i = 0; i < c.z.size(); ++i) {
      std::vector<double> values;
      for (const std::vector<float>& x : c.x) values.push_back(x[i]);
      std::sort(values.begin(), values.end());
      const double sum = std::accumulate(values.begin() + trimmed, values.end() - trimmed, 0.0);
      ASSERT_EQ(got[i], sum / static_cast<double>(values.size() - 2 * trimmed)) << i;
    }
  }
}

TEST(MedianTest, EqualsTheMiddleOfEachCoordinate) {
  FOR_EACH_SEED(seed) {
    const uint32_t hostile = seed % 3;
    const Case c = DrawCase(seed, 2 * hostile + 3 + seed % 4, hostile);
    const std::vector<double> got = Combine(Scheme("median"), c);
    for (size_t i = 0; i < c.z.size(); ++i) {
      std::vector<double> values;
      for (const std::vector<float>& x : c.x) values.push_back(x[i]);
      std::sort(values.begin(), values.end());
      const size_t n = values.size();
      const double want = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
      ASSERT_EQ(got[i], want) << i;
    }
  }
}

TEST(TrimmedMeanTest, ScaledChangesAreSortedAsTheyCount) {
  Case c = DrawCase(3, 3, 0);
  c.z = {1, 1};
  c.x = {{2, 0}, {3, -1}, {4, 4}};
  c.cohort.scales = {4, 1, 0.5};  // 5 -3 | 3 -1 | 2.5 2.5
  EXPECT_THAT(Combine(Scheme("median"), c), ElementsAre(3, -1));
}

TEST(CoordinateWiseRulesTest, HostileSitesCannotLeaveTheHonestRange) {
  FOR_EACH_SEED(seed) {
    const uint32_t hostile = 1 + seed % 3;
    const Case c = DrawCase(seed, 2 * hostile + 1 + seed % 4, hostile);
    for (const ConsensusScheme& scheme : {Scheme("median"), Scheme("trimmed_mean", hostile)}) {
      const std::vector<double> got = Combine(scheme, c);
      for (size_t i = 0; i < c.z.size(); ++i) {
        double low = c.x[hostile][i], high = low;
        for (size_t k = hostile; k < c.x.size(); ++k) {
          low = std::min<double>(low, c.x[k][i]);
          high = std::max<double>(high, c.x[k][i]);
        }
        const double slack = 1e-15 * std::max(std::abs(low), std::abs(high));  // of the division
        ASSERT_GE(got[i], low - slack) << scheme.combine() << " " << i;
        ASSERT_LE(got[i], high + slack) << scheme.combine() << " " << i;
      }
    }
  }
}

TEST(CoordinateWiseRulesTest, TheOrderOfTheSitesDoesNotMatterAtAll) {
  FOR_EACH_SEED(seed) {
    Case c = DrawCase(seed, 5 + seed % 6, 2);
    std::vector<std::vector<double>> before;
    for (const ConsensusScheme& scheme : {Scheme("median"), Scheme("trimmed_mean", 2)}) {
      before.push_back(Combine(scheme, c));
    }
    std::shuffle(c.x.begin(), c.x.end(), std::mt19937(seed));
    size_t number = 0;
    for (const ConsensusScheme& scheme : {Scheme("median"), Scheme("trimmed_mean", 2)}) {
      testing::ExpectSameBits(Combine(scheme, c), before[number++]);
    }
  }
}

TEST(KrumTest, SelectsByExplicitDistancesAndGivesTheVectorExactly) {
  FOR_EACH_SEED(seed) {
    const uint32_t faulty = seed % 3;
    const Case c = DrawCase(seed, 2 * faulty + 3 + seed % 4, faulty);
    const auto changes = Changes(c);
    size_t selected = 0;
    double lowest = 0;
    for (size_t k = 0; k < changes.size(); ++k) {
      std::vector<double> squares;
      for (size_t j = 0; j < changes.size(); ++j) {
        if (j != k) squares.push_back(std::pow(Distance(changes[j], changes[k]), 2));
      }
      std::sort(squares.begin(), squares.end());
      const double score = std::accumulate(squares.begin(), squares.end() - (faulty + 1), 0.0);
      if (k == 0 || score < lowest * (1 - 1e-9)) selected = k, lowest = score;
    }
    const std::vector<double> got = Combine(Scheme("krum", faulty), c);
    EXPECT_THAT(got, ::testing::ElementsAreArray(c.x[selected]));
    EXPECT_GE(selected, faulty) << "a hostile site was selected";
  }
}

TEST(KrumTest, OfEqualOnesTheFirstSite) {
  Case c = DrawCase(4, 5, 0);
  c.x = {{9, 9}, {1, 1}, {1, -1}, {1, 1}, {1, -1}};
  c.z = {0, 0};
  EXPECT_THAT(Combine(Scheme("krum", 1), c), ElementsAre(1, 1));
  std::swap(c.x[1], c.x[2]);
  EXPECT_THAT(Combine(Scheme("krum", 1), c), ElementsAre(1, -1));
}

TEST(GeometricMedianTest, EqualsWeiszfeldOnWholeVectorsAndNothingIsNearer) {
  FOR_EACH_SEED(seed) {
    const Case c = DrawCase(seed, 5 + seed % 5, 0);
    const auto changes = Changes(c);
    const std::vector<double> v = ChangeOf(c, Combine(Scheme("geometric_median"), c));
    std::vector<double> slow(c.z.size(), 0.0);
    for (int iteration = 0; iteration < 3000; ++iteration) {
      std::vector<double> next(slow.size(), 0.0);
      double sum = 0;
      for (const std::vector<double>& change : changes) {
        const double weight = 1 / std::max(1e-6, Distance(change, slow));
        for (size_t i = 0; i < next.size(); ++i) next[i] += weight * change[i];
        sum += weight;
      }
      for (size_t i = 0; i < next.size(); ++i) slow[i] = next[i] / sum;
    }
    const double least = SumOfDistances(changes, v);
    EXPECT_NEAR(least, SumOfDistances(changes, slow), 1e-6 * least);
    std::mt19937 random(seed);
    for (int probe = 0; probe < 50; ++probe) {
      std::vector<double> near = v;
      for (double& value : near) value += 0.02 * (static_cast<double>(random()) / 4294967296 - 0.5);
      EXPECT_GE(SumOfDistances(changes, near), least * (1 - 1e-6));
    }
  }
}

// With a part a < 1/2 of all and everybody else within r of a point: within (1 - a) / sqrt(1 - 2a)
// r of it (Minsker 2015, lemma 2.1).
TEST(GeometricMedianTest, HostileSitesCannotMoveItFar) {
  FOR_EACH_SEED(seed) {
    const uint32_t hostile = 1 + seed % 3;
    const Case c = DrawCase(seed, 2 * hostile + 1 + seed % 4, hostile);
    const auto changes = Changes(c);
    std::vector<double> center(c.z.size(), 0.0);
    const auto honest = static_cast<double>(changes.size() - hostile);
    for (size_t k = hostile; k < changes.size(); ++k) {
      for (size_t i = 0; i < center.size(); ++i) center[i] += changes[k][i] / honest;
    }
    double radius = 0;
    for (size_t k = hostile; k < changes.size(); ++k) {
      radius = std::max(radius, Distance(changes[k], center));
    }
    const double part = hostile / static_cast<double>(changes.size());
    const std::vector<double> v = ChangeOf(c, Combine(Scheme("geometric_median"), c));
    EXPECT_LE(Distance(v, center), 1.01 * (1 - part) / std::sqrt(1 - 2 * part) * radius);
  }
}

TEST(GeometricMedianTest, IsThePointWhereMostAreAlready) {
  Case c = DrawCase(5, 5, 0);
  c.z = {1, 2};
  c.x = {{1, 2}, {1, 2}, {1, 2}, {9, 9}, {-1e30f, 1e30f}};
  EXPECT_THAT(Combine(Scheme("geometric_median"), c),
              ElementsAre(DoubleNear(1, 1e-5), DoubleNear(2, 1e-5)));
}

TEST(NormClippedMeanTest, EqualsClippingEachChange) {
  FOR_EACH_SEED(seed) {
    const Case c = DrawCase(seed, 3 + seed % 5, 0);
    auto changes = Changes(c);
    std::vector<double> norms;
    for (const std::vector<double>& change : changes) norms.push_back(Norm(change));
    std::sort(norms.begin(), norms.end());
    const size_t n = norms.size();
    const double median = n % 2 == 1 ? norms[n / 2] : (norms[n / 2 - 1] + norms[n / 2]) / 2;
    std::vector<double> want(c.z.begin(), c.z.end());
    for (size_t k = 0; k < n; ++k) {
      const double norm = Norm(changes[k]);
      const double factor = norm == 0 ? 1 : std::min(1.0, 1.1 * median / norm);
      for (size_t i = 0; i < want.size(); ++i) {
        want[i] += c.cohort.weights[k] * factor * changes[k][i];
      }
    }
    ExpectNear(Combine(Scheme("norm_clipped_mean", 0, 1.1), c), want, 1e-13);
  }
}

TEST(NormClippedMeanTest, NobodyMovesTheConsensusFurtherThanItsWeightOfTheMedian) {
  FOR_EACH_SEED(seed) {
    const uint32_t hostile = 1 + seed % 2;
    Case c = DrawCase(seed, 2 * hostile + 2 + seed % 4, hostile);
    const auto changes = Changes(c);
    double honest = 0;
    for (size_t k = hostile; k < changes.size(); ++k) honest = std::max(honest, Norm(changes[k]));
    const std::vector<double> v = ChangeOf(c, Combine(Scheme("norm_clipped_mean", 0, 2), c));
    EXPECT_LE(Norm(v), 2 * honest * (1 + 1e-9));
  }
}

TEST(NormClippedMeanTest, WithNothingToClipItIsTheMeanBitForBit) {
  const Case c = DrawCase(6, 5, 0);
  testing::ExpectSameBits(Combine(Scheme("norm_clipped_mean", 0, 1e6), c),
                          Combine(Scheme("mean"), c));
}

// Blocks of 8 elements for the products and of any size for the combination: the same bits.
TEST(AggregatorTest, BlocksDoNotChangeTheBytes) {
  for (const ConsensusScheme& scheme :
       {Scheme("mean"), Scheme("norm_clipped_mean", 0, 1.1), Scheme("trimmed_mean", 2),
        Scheme("median"), Scheme("krum", 2), Scheme("geometric_median")}) {
    Case c = DrawCase(7, 9, 2, /*elements=*/5003);
    for (size_t k = 0; k < c.x.size(); ++k) {
      c.cohort.scales[k] = 1 + 0.1 * static_cast<double>(k);
    }
    const std::vector<double> whole = Combine(scheme, c);
    for (const size_t block : {8, 256, 1016, 4096}) {
      SCOPED_TRACE(scheme.combine() + " in blocks of " + std::to_string(block));
      testing::ExpectSameBits(Combine(scheme, c, block), whole);
    }
  }
}

// Printed by tests/golden/combination.py.
TEST(AggregatorTest, EqualsAnIndependentProgram) {
  Case c = DrawCase(8, 5, 0);
  c.z = {0, 0, 0, 0};
  c.x = {{1.25, 2.25, 1.75, 4.75},
         {1.75, 2, 3.5, 4.5},
         {0.5, 3, 3, 3.5},
         {1, 1, 3.5, 3.25},
         {-40, 60, 0.25, 80}};
  c.cohort.weights = {0.1, 0.2, 0.3, 0.25, 0.15};
  ExpectNear(Combine(Scheme("mean"), c), {-5.125, 10.775, 2.6875, 15.2375}, 1e-14);
  ExpectNear(Combine(Scheme("trimmed_mean", 1), c),
             {0.9166666666666666, 2.4166666666666665, 2.75, 4.25}, 1e-15);
  EXPECT_THAT(Combine(Scheme("median"), c), ElementsAre(1, 2.25, 3, 4.5));
  EXPECT_THAT(Combine(Scheme("krum", 1), c), ElementsAre(1.75, 2, 3.5, 4.5));
  ExpectNear(Combine(Scheme("norm_clipped_mean", 0, 2), c),
             {0.2422736210908324, 2.724089568363752, 2.6539545398681827, 4.502952757818335}, 1e-14);
  ExpectNear(Combine(Scheme("geometric_median"), c),
             {1.0452318133051146, 2.3223645516215883, 2.9347586487271, 4.307546554294718}, 1e-9);
}

TEST(AggregatorTest, RefusesUnknownRulesAndCohortsThatAreTooSmall) {
  EXPECT_THAT(std::string(FindRule("mode").status().message()), HasSubstr("mean, norm_clipped"));
  const Case c = DrawCase(9, 4, 0);
  const absl::Status small = MakeAggregator(Scheme("trimmed_mean", 2), c.cohort, nullptr).status();
  EXPECT_TRUE(absl::IsInvalidArgument(small));
  EXPECT_THAT(std::string(small.message()), HasSubstr("needs 5 contributions, the round has 4"));
}

TEST(AggregatorTest, ARecordSaysWhatIsKnownOfTheCohort) {
  RoundRecord record;
  record.set_base_weight(0.25);
  record.add_contributions()->set_weight(0.5);
  record.add_contributions()->set_weight(0.25);
  record.mutable_contributions(1)->set_scale(1.5);
  const Cohort cohort = CohortOf(record);
  EXPECT_THAT(cohort.weights, ElementsAre(0.5, 0.25));
  EXPECT_THAT(cohort.scales, ElementsAre(1, 1.5));
  EXPECT_EQ(cohort.base_weight, 0.25);
}

}  // namespace
}  // namespace weft
