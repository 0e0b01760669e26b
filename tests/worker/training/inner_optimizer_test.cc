#include "worker/training/inner_optimizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weft {
namespace {

TEST(InnerOptimizerTest, IsFoundByItsName) {
  const ParameterLayout layout = *ParameterLayout::Create({{"a", {2, 3}}});
  for (const std::string name : {"adamw", "sgd"}) {
    ASSERT_NE(FindInnerOptimizer(name), nullptr) << name;
    EXPECT_EQ(FindInnerOptimizer(name)->create(layout)->name(), name);
  }
  EXPECT_EQ(FindInnerOptimizer(""), FindInnerOptimizer("adamw"));
  EXPECT_EQ(FindInnerOptimizer("adam"), nullptr);
  EXPECT_EQ(InnerOptimizerNames(), "adamw, sgd");
}

TEST(InnerOptimizerTest, NeighboursThatAreTreatedAlikeAreOneRange) {
  const ParameterLayout layout =
      *ParameterLayout::Create({{"a", {2, 3}}, {"b", {4, 1}}, {"norm", {5}}, {"c", {2, 2}}});
  const std::vector<DecayRange> ranges = DecayRanges(layout);
  ASSERT_EQ(ranges.size(), 3);
  EXPECT_TRUE(ranges[0].decayed && !ranges[1].decayed && ranges[2].decayed);
  EXPECT_EQ(ranges[0].size, 10);
  EXPECT_EQ(ranges[1].offset, 10);
  EXPECT_EQ(ranges[2].offset, 15);
  EXPECT_EQ(ranges[2].size, 4);
}

TEST(InnerOptimizerTest, PartsCoverARangeOnce) {
  std::vector<int> seen(1 << 20);
  ForEachPart(5, seen.size() - 10, [&](uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) ++seen[i];
  });
  for (size_t i = 0; i < seen.size(); ++i) {
    ASSERT_EQ(seen[i], i >= 5 && i < seen.size() - 5 ? 1 : 0) << i;
  }
}

}  // namespace
}  // namespace weft
