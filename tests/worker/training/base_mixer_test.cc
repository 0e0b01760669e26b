#include "worker/training/base_mixer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "model/parameters/fragment_range.h"
#include "tests/worker/training/tiny_site.h"

namespace weft {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kCount = 700;  // three grains of 256, the last one short

ParameterVector Filled(float value, uint64_t size = kCount) {
  ParameterVector vector(size);
  std::fill_n(vector.data(), size, value);
  return vector;
}

RoundOrder Order(uint64_t round, double alpha) {
  RoundOrder order = TinyOrder(round, 4);
  order.mutable_consensus()->set_alpha(alpha);
  order.set_base_digest("base " + std::to_string(round));
  return order;
}

TEST(BaseMixerTest, TheFirstBaseIsAssignedAndLaterOnesAreMixedIn) {
  BaseMixer mixer(kCount);
  std::vector<float> w(kCount, -7);
  EXPECT_TRUE(mixer.Begin(Order(0, 0.25), {.base = Filled(4)}, 0, absl::MakeSpan(w)));
  EXPECT_THAT(w, Each(4));
  EXPECT_TRUE(mixer.Begin(Order(1, 0.25), {.base = Filled(8)}, 0, absl::MakeSpan(w)));
  EXPECT_THAT(w, Each(5));
  EXPECT_EQ(mixer.target(), nullptr) << "there is no pull";
}

// EASGD, synchronous: x <- x - alpha (x - z) with the z that the round began from.
TEST(BaseMixerTest, PreviousMixesInTheBaseOfTheRoundBefore) {
  BaseMixer mixer(kCount);
  std::vector<float> w(kCount, -7);
  RoundOrder order = Order(0, 0.5);
  order.mutable_consensus()->set_mix_with("previous");
  mixer.Begin(order, {.base = Filled(4)}, 0, absl::MakeSpan(w));
  EXPECT_THAT(w, Each(4));
  std::fill(w.begin(), w.end(), 6.0f);  // it trains
  order.set_round(1);
  mixer.Begin(order, {.base = Filled(100)}, 0, absl::MakeSpan(w));
  EXPECT_THAT(w, Each(5));
  order.set_round(2);
  mixer.Begin(order, {.base = Filled(-1)}, 0, absl::MakeSpan(w));
  EXPECT_THAT(w, Each(52.5));
}

TEST(BaseMixerTest, WithADualTheSiteKeepsItsVectorAndIsPulledToTheAnchor) {
  BaseMixer mixer(kCount);
  std::vector<float> w(kCount, -7);
  RoundOrder order = Order(0, 0);
  order.mutable_consensus()->set_dual(true);
  order.mutable_consensus()->set_rho(0.5);
  Bases bases{.base = Filled(4), .fragments = {}, .anchor = {}};
  mixer.Begin(order, std::move(bases), 0, absl::MakeSpan(w));
  EXPECT_THAT(w, Each(4));
  EXPECT_EQ(mixer.rho(), 0.5);
  EXPECT_EQ(*mixer.target(), 4) << "without an anchor: the base";
  std::fill(w.begin(), w.end(), 6.0f);
  order.set_round(1);
  order.set_anchor_digest("anchor");
  order.set_rho(3);
  Bases later{.base = Filled(8), .fragments = {}, .anchor = Filled(9)};
  mixer.Begin(order, std::move(later), 0, absl::MakeSpan(w));
  EXPECT_THAT(w, Each(6));
  EXPECT_EQ(mixer.rho(), 3);
  EXPECT_EQ(*mixer.target(), 9);
}

// Fragment g of `digests` has the values 10 * (its digest's number).
RoundOrder FragmentOrder(uint64_t round, const std::vector<int>& digests, uint32_t delay) {
  RoundOrder order = Order(round, 0.5);
  order.mutable_consensus()->set_fragments(static_cast<uint32_t>(digests.size()));
  order.mutable_consensus()->set_fragment_delay_steps(delay);
  order.mutable_consensus()->set_rho(static_cast<double>(round + 1));
  for (int digest : digests) order.add_fragment_digests(std::to_string(digest));
  order.set_base_digest(order.fragment_digests(0));
  return order;
}

Bases FragmentBases(const std::vector<int>& digests) {
  Bases bases;
  const uint32_t count = static_cast<uint32_t>(digests.size());
  for (uint32_t g = 0; g < count; ++g) {
    bases.fragments.push_back(
        Filled(10.0f * static_cast<float>(digests[g]), RangeOfFragment(kCount, count, g).size));
  }
  return bases;
}

TEST(BaseMixerTest, ChangedFragmentsAreMixedInAfterTheDelayAndNoOthers) {
  BaseMixer mixer(kCount);
  std::vector<float> w(kCount, -7);
  EXPECT_THAT(mixer.Wanted(FragmentOrder(0, {1, 2, 3}, 2)), ElementsAre(0, 1, 2));
  EXPECT_TRUE(
      mixer.Begin(FragmentOrder(0, {1, 2, 3}, 2), FragmentBases({1, 2, 3}), 0, absl::MakeSpan(w)))
      << "the first is taken at once";
  EXPECT_EQ((std::vector{w[0], w[255], w[256], w[511], w[512], w[699]}),
            (std::vector<float>{10, 10, 20, 20, 30, 30}));
  EXPECT_EQ(mixer.rho(), 1);

  const RoundOrder second = FragmentOrder(1, {5, 2, 6}, 2);
  EXPECT_THAT(mixer.Wanted(second), ElementsAre(0, 2));
  Bases bases = FragmentBases({5, 2, 6});
  bases.fragments[1] = ParameterVector();
  EXPECT_TRUE(mixer.Holds(second, bases));
  std::fill(w.begin(), w.end(), 0.0f);  // it trains
  EXPECT_FALSE(mixer.Begin(second, std::move(bases), 0, absl::MakeSpan(w)));
  EXPECT_FALSE(mixer.TakeWhenDue(1, absl::MakeSpan(w)));
  EXPECT_THAT(w, Each(0));
  EXPECT_EQ(mixer.rho(), 1) << "until then the steps are those of the round before";
  EXPECT_EQ(mixer.target()[0], 10);
  EXPECT_TRUE(mixer.TakeWhenDue(2, absl::MakeSpan(w)));
  EXPECT_EQ((std::vector{w[0], w[256], w[512]}), (std::vector<float>{25, 0, 30}));
  EXPECT_EQ(mixer.rho(), 2);
  EXPECT_EQ((std::vector{mixer.target()[0], mixer.target()[256], mixer.target()[699]}),
            (std::vector<float>{50, 20, 60}));
  EXPECT_FALSE(mixer.TakeWhenDue(2, absl::MakeSpan(w))) << "once";
  EXPECT_THAT(mixer.Wanted(FragmentOrder(2, {5, 2, 6}, 2)), IsEmpty());
}

// A newer order may come before the base of the last one was taken: nothing of it is lost.
TEST(BaseMixerTest, WhatAnAbandonedOrderDidNotTakeTheNextOneTakes) {
  BaseMixer mixer(kCount);
  std::vector<float> w(kCount);
  mixer.Begin(FragmentOrder(0, {1, 2, 3}, 2), FragmentBases({1, 2, 3}), 0, absl::MakeSpan(w));
  mixer.Begin(FragmentOrder(1, {5, 2, 3}, 2), FragmentBases({5, 2, 3}), 0, absl::MakeSpan(w));
  const RoundOrder third = FragmentOrder(2, {5, 7, 3}, 2);
  EXPECT_THAT(mixer.Wanted(third), ElementsAre(0, 1));
  mixer.Begin(third, FragmentBases({5, 7, 3}), 0, absl::MakeSpan(w));
  EXPECT_TRUE(mixer.TakeWhenDue(2, absl::MakeSpan(w)));
  EXPECT_EQ((std::vector{w[0], w[256], w[512]}), (std::vector<float>{30, 45, 30}));
}

TEST(BaseMixerTest, KnowsWhetherItWasGivenWhatTheOrderNames) {
  BaseMixer mixer(kCount);
  EXPECT_TRUE(mixer.Holds(Order(0, 1), {.base = Filled(1)}));
  EXPECT_FALSE(mixer.Holds(Order(0, 1), {.base = Filled(1, kCount - 1)}));
  RoundOrder anchored = Order(0, 1);
  anchored.set_anchor_digest("anchor");
  EXPECT_FALSE(mixer.Holds(anchored, {.base = Filled(1)}));
  Bases bases = FragmentBases({1, 2, 3});
  EXPECT_TRUE(mixer.Holds(FragmentOrder(0, {1, 2, 3}, 0), bases));
  bases.fragments.pop_back();
  EXPECT_FALSE(mixer.Holds(FragmentOrder(0, {1, 2, 3}, 0), bases));
}

}  // namespace
}  // namespace weft
