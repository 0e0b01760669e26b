#include "coordinator/core/change_products.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/highway_targets.h"
#include "tests/coordinator/core/aggregation_cases.h"
#include "tests/kernels/back_ends.h"

namespace weft {
namespace {

using testing::BlockOf;
using testing::Case;
using ::testing::DoubleNear;
using testing::DrawCase;
using ::testing::ElementsAre;

ChangeProducts ProductsOf(const Case& c) {
  ChangeProducts products(c.cohort.scales);
  products.Add(c.z, BlockOf(c, 0, c.z.size()));
  return products;
}

TEST(ChangeProductsTest, EqualsPlainLoops) {
  Case c = DrawCase(1, 5, 1, /*elements=*/3001);
  for (size_t k = 0; k < c.x.size(); ++k) c.cohort.scales[k] = 1 + static_cast<double>(k);
  const ChangeProducts products = ProductsOf(c);
  const auto change = [&c](size_t k, size_t i) {
    return c.cohort.scales[k] * (double{c.x[k][i]} - double{c.z[i]});
  };
  for (size_t j = 0; j < c.x.size(); ++j) {
    for (size_t k = 0; k < c.x.size(); ++k) {
      double product = 0, distance = 0;
      for (size_t i = 0; i < c.z.size(); ++i) {
        product += change(j, i) * change(k, i);
        distance += std::pow(change(j, i) - change(k, i), 2);
      }
      EXPECT_NEAR(products.Product(j, k), product, 1e-12 * products.Norm(j) * products.Norm(k));
      EXPECT_EQ(products.Product(j, k), products.Product(k, j));
      EXPECT_NEAR(products.SquaredDistance(j, k), distance, 1e-9 * distance);
    }
  }
}

TEST(ChangeProductsTest, EqualVectorsAreAtNoDistance) {
  Case c = DrawCase(2, 4, 0, /*elements=*/1025);
  c.x[3] = c.x[1];
  const ChangeProducts products = ProductsOf(c);
  EXPECT_EQ(products.SquaredDistance(1, 3), 0);
  EXPECT_GT(products.SquaredDistance(1, 2), 0);
}

TEST(ChangeProductsTest, EveryInstructionSetGivesTheSameBits) {
  const Case c = DrawCase(3, 6, 2, /*elements=*/2051);
  const ChangeProducts want = ProductsOf(c);
  kernels::testing::ForEachInstructionSet([&] {
    const ChangeProducts got = ProductsOf(c);
    for (size_t j = 0; j < c.x.size(); ++j) {
      for (size_t k = 0; k <= j; ++k) {
        testing::ExpectSameBits({got.Product(j, k)}, {want.Product(j, k)});
      }
    }
  });
}

TEST(MeanCosinesTest, AreThoseWithTheWeightedMeanOfTheChanges) {
  Case c = DrawCase(4, 3, 0);
  c.z = {1, 1};
  c.x = {{4, 1}, {1, 3}, {1, -1}};  // changes 3 0 | 0 2 | 0 -2
  MeanCosines cosines({0.5, 0.5, 0}, {1, 1, 1});
  cosines.Add(c.z, BlockOf(c, 0, 2));  // their mean: 1.5 1
  const double length = std::sqrt(1.5 * 1.5 + 1);
  EXPECT_THAT(cosines.Cosines(),
              ElementsAre(DoubleNear(1.5 / length, 1e-15), DoubleNear(1 / length, 1e-15),
                          DoubleNear(-1 / length, 1e-15)));
}

TEST(MeanCosinesTest, OfSomeoneWhoDidNotMoveIsZero) {
  const std::vector<float> z = {1, 2}, moved = {2, 2};
  MeanCosines cosines({0.5, 0.5}, {1, 1});
  cosines.Add(z, {z, moved});
  EXPECT_THAT(cosines.Cosines(), ElementsAre(0, DoubleNear(1, 1e-15)));
}

TEST(MeanCosinesTest, BlocksDoNotChangeTheBytes) {
  const Case c = DrawCase(5, 4, 0, /*elements=*/3003);
  MeanCosines whole(c.cohort.weights, c.cohort.scales), parts(c.cohort.weights, c.cohort.scales);
  whole.Add(c.z, BlockOf(c, 0, 3003));
  for (const auto& [begin, count] : {std::pair<size_t, size_t>{0, 8}, {8, 1000}, {1008, 1995}}) {
    parts.Add(absl::MakeConstSpan(c.z).subspan(begin, count), BlockOf(c, begin, count));
  }
  testing::ExpectSameBits(parts.Cosines(), whole.Cosines());
}

}  // namespace
}  // namespace weft
