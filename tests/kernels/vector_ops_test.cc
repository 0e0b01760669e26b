// Every back end of vector_ops against the reference, bit for bit, and the reference against its
// contract.
#include "kernels/vector_ops.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/back_ends.h"

namespace weft::kernels {
namespace {

using testing::AwkwardNumbers;
using testing::ExpectSameBits;
using testing::ForEachInstructionSet;
using testing::Lengths;

TEST(AccumulateWeighted, SameBitsAsReference) {
  ForEachInstructionSet([] {
    for (const size_t n : Lengths()) {
      // One element in front keeps the arrays off the vectors' alignment.
      const std::vector<float> x = AwkwardNumbers(n + 1, 1);
      const std::vector<float> start = AwkwardNumbers(n, 2);
      std::vector<double> got(start.begin(), start.end());
      std::vector<double> want = got;
      AccumulateWeighted(1.0 / 3, x.data() + 1, n, got.data());
      reference::AccumulateWeighted(1.0 / 3, x.data() + 1, n, want.data());
      ExpectSameBits(got, want);
    }
  });
}

TEST(SquaredDistance, SameBitsAsReference) {
  ForEachInstructionSet([] {
    for (const size_t n : Lengths()) {
      const std::vector<float> x = AwkwardNumbers(n + 1, 3);
      const std::vector<float> y = AwkwardNumbers(n + 3, 4);
      const std::vector<double> got = {SquaredDistance(x.data() + 1, y.data() + 3, n),
                                       SquaredDistance(x.data() + 1, nullptr, n)};
      const std::vector<double> want = {reference::SquaredDistance(x.data() + 1, y.data() + 3, n),
                                        reference::SquaredDistance(x.data() + 1, nullptr, n)};
      ExpectSameBits(got, want);
    }
  });
}

// (0+4)+(2+6) + ((1+5)+(3+7)): beside 1e16, where doubles have steps of 2, single units are lost or
// kept by the order.
TEST(SquaredDistance, AddsLanesInTheOrderOfTheContract) {
  const float big = 1e8f;
  const std::vector<float> x = {big, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1};
  const double square = static_cast<double>(big) * static_cast<double>(big);
  const double want = ((square + 0.0) + (1.0 + 1.0)) + ((1.0 + 1.0) + (2.0 + 1.0));
  EXPECT_EQ(SquaredDistance(x.data(), nullptr, x.size()), want);
  double in_a_row = 0;
  for (const float value : x) in_a_row += static_cast<double>(value) * value;
  EXPECT_NE(in_a_row, want) << "the example no longer tells one order from another";
}

TEST(FirstNotFinite, FindsTheFirst) {
  ForEachInstructionSet([] {
    for (const size_t n : Lengths()) {
      std::vector<float> x = AwkwardNumbers(n, 5);
      EXPECT_EQ(FirstNotFinite(x.data(), n), n);
      EXPECT_EQ(reference::FirstNotFinite(x.data(), n), n);
      for (size_t at = 0; at < n; at += 1 + n / 7) {
        std::vector<float> spoilt = x;
        spoilt[n - 1] = std::nanf("");
        spoilt[at] = at % 2 == 0 ? -INFINITY : std::nanf("1");
        EXPECT_EQ(FirstNotFinite(spoilt.data(), n), at);
        EXPECT_EQ(reference::FirstNotFinite(spoilt.data(), n), at);
      }
    }
  });
}

TEST(Scale, SameBitsAsReference) {
  ForEachInstructionSet([] {
    for (const size_t n : Lengths()) {
      std::vector<float> got = AwkwardNumbers(n, 6);
      std::vector<float> want = got;
      Scale(0.3f, got.data(), n);
      reference::Scale(0.3f, want.data(), n);
      ExpectSameBits(got, want);
    }
  });
}

TEST(Difference, SameBitsAsReference) {
  ForEachInstructionSet([] {
    for (const size_t n : Lengths()) {
      const std::vector<float> x = AwkwardNumbers(n + 1, 13), y = AwkwardNumbers(n + 3, 14);
      std::vector<double> got(n), want(n);
      Difference(x.data() + 1, y.data() + 3, n, got.data());
      reference::Difference(x.data() + 1, y.data() + 3, n, want.data());
      ExpectSameBits(got, want);
    }
  });
}

// The products of the large ones and of the denormals stay inside double.
std::vector<double> AwkwardDoubles(size_t n, uint32_t seed) {
  const std::vector<float> x = AwkwardNumbers(n, seed);
  return {x.begin(), x.end()};
}

TEST(AccumulateDot, SameBitsAsReferenceAndGoesOn) {
  ForEachInstructionSet([] {
    for (const size_t n : Lengths()) {
      const std::vector<double> x = AwkwardDoubles(n + 1, 7), y = AwkwardDoubles(n + 3, 8);
      std::vector<double> got = AwkwardDoubles(8, 9);
      std::vector<double> want = got, divided = got;
      AccumulateDot(x.data() + 1, y.data() + 3, n, got.data());
      reference::AccumulateDot(x.data() + 1, y.data() + 3, n, want.data());
      ExpectSameBits(got, want);
      const size_t first = n / 2 / 8 * 8;
      AccumulateDot(x.data() + 1, y.data() + 3, first, divided.data());
      AccumulateDot(x.data() + 1 + first, y.data() + 3 + first, n - first, divided.data());
      ExpectSameBits(divided, want);
    }
  });
}

TEST(AccumulateDot, OfADifferenceWithItselfIsTheSquaredDistance) {
  const std::vector<float> x = AwkwardNumbers(1001, 10);
  const std::vector<double> wide(x.begin(), x.end());
  double lane[8] = {};
  AccumulateDot(wide.data(), wide.data(), wide.size(), lane);
  EXPECT_EQ(SumOfLanes(lane), SquaredDistance(x.data(), nullptr, x.size()));
}

TEST(CompareExchange, SameBitsAsReference) {
  ForEachInstructionSet([] {
    for (const size_t n : Lengths()) {
      std::vector<double> low = AwkwardDoubles(n, 11), high = AwkwardDoubles(n, 12);
      std::vector<double> want_low = low, want_high = high;
      CompareExchange(low.data(), high.data(), n);
      reference::CompareExchange(want_low.data(), want_high.data(), n);
      ExpectSameBits(low, want_low);
      ExpectSameBits(high, want_high);
      for (size_t i = 0; i < n; ++i) EXPECT_LE(low[i], high[i]);
    }
  });
}

TEST(CompareExchange, LeavesEqualOnesWhereTheyAre) {
  ForEachInstructionSet([] {
    std::vector<double> low(33, 0.0), high(33, -0.0);
    CompareExchange(low.data(), high.data(), low.size());
    for (size_t i = 0; i < low.size(); ++i) {
      EXPECT_FALSE(std::signbit(low[i])) << i;
      EXPECT_TRUE(std::signbit(high[i])) << i;
    }
  });
}

}  // namespace
}  // namespace weft::kernels
