#include "tokenizer/sample_order.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weft {
namespace {

struct Golden {
  uint64_t seed;
  std::string key;
  uint64_t sample_count;
  uint64_t begin;
  std::vector<uint64_t> samples;
};

// Printed by tests/golden/sample_order.py, which was written from the header's text and checked
// against SipHash's own test vector.
TEST(SampleOrder, EqualsIndependentImplementation) {
  // clang-format off
  const std::vector<Golden> goldens = {
    {1u, "site-a", 10u, 0u, {8u, 2u, 5u, 0u, 6u, 7u, 1u, 4u, 3u, 9u}},
    {1u, "site-a", 10u, 10u, {4u, 1u, 5u, 6u, 2u, 8u, 0u, 3u, 7u, 9u}},
    {7u, "", 1u, 5u, {0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u}},
    {18446744073709551615u, "b", 1000003u, 999999u, {779987u, 784784u, 266937u, 701843u, 747331u, 444281u, 75926u, 493923u, 99431u, 21468u}},
    {3u, "s", 1099511627777u, 0u, {343761278159u, 274385484524u, 91925264581u, 599414567482u, 463197724235u, 180080202560u, 589989416866u, 851045901956u, 856547880348u, 919592032860u}},
    {3u, "s", 9223372036854775809u, 0u, {7990579144651155678u, 8439454474271507697u, 8670662748560577288u, 2403941939240173894u, 3913016271217599496u, 6481965159234312544u, 5957039888277344752u, 6654590221054580141u, 8217058376586181624u, 7704307661403345586u}},
  };
  // clang-format on
  for (const Golden& golden : goldens) {
    const SampleOrder order(golden.seed, golden.key, golden.sample_count);
    for (size_t i = 0; i < golden.samples.size(); ++i) {
      EXPECT_EQ(order.At(golden.begin + i), golden.samples[i])
          << "seed " << golden.seed << " n " << golden.sample_count << " position "
          << golden.begin + i;
    }
  }
}

TEST(SampleOrder, VisitsEverySampleOnceInEachEpoch) {
  for (const uint64_t n :
       {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4096, 4097, 70001}) {
    const SampleOrder order(42, "site", n);
    for (const uint64_t epoch : {0, 1, 9}) {
      std::vector<bool> seen(n, false);
      for (uint64_t i = 0; i < n; ++i) {
        const uint64_t sample = order.At(epoch * n + i);
        ASSERT_LT(sample, n);
        ASSERT_FALSE(seen[sample]) << "n " << n << " epoch " << epoch << " position " << i;
        seen[sample] = true;
      }
    }
  }
}

TEST(SampleOrder, DiffersBySeedKeyAndEpoch) {
  constexpr uint64_t kCount = 1000;
  const SampleOrder base(1, "a", kCount), seed(2, "a", kCount), key(1, "b", kCount);
  int equal_seed = 0, equal_key = 0, equal_epoch = 0, fixed = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    equal_seed += base.At(i) == seed.At(i);
    equal_key += base.At(i) == key.At(i);
    equal_epoch += base.At(i) == base.At(kCount + i);
    fixed += base.At(i) == i;
  }
  // A random permutation agrees with another in one place on average; twelve is out of reach by
  // chance.
  for (const int equal : {equal_seed, equal_key, equal_epoch, fixed}) EXPECT_LT(equal, 12);
}

TEST(SampleOrder, DependsOnNothingButItsInputs) {
  const SampleOrder forward(5, "s", 333), backward(5, "s", 333);
  std::vector<uint64_t> a(999), b(999);
  for (int i = 0; i < 999; ++i) a[i] = forward.At(i);
  for (int i = 998; i >= 0; --i) b[i] = backward.At(i);
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace weft
