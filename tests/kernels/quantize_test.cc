// Every back end of quantize against the reference, bit for bit, and the rounding against numbers
// worked out by hand.
#include "kernels/quantize.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/bf16.h"
#include "tests/kernels/back_ends.h"

namespace weft::kernels {
namespace {

using testing::AwkwardNumbers;
using testing::ExpectSameBits;
using testing::ForEachInstructionSet;
using testing::Lengths;

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::vector<uint16_t> Encode(const std::vector<float>& x) {
  const std::vector<float> zeros(x.size(), 0.0f);
  std::vector<uint16_t> delta(x.size());
  EncodeDeltaBf16(x.data(), zeros.data(), x.size(), delta.data());
  return delta;
}

TEST(EncodeDeltaBf16, RoundsToNearestTiesToEven) {
  ForEachInstructionSet([] {
    // Repeated, so that the vector loop and the tail both see each.
    std::vector<float> x;
    std::vector<uint16_t> want;
    for (int repeat = 0; repeat < 9; ++repeat) {
      for (const auto& [bits, half] : std::vector<std::pair<uint32_t, uint16_t>>{
               {0x3f800000, 0x3f80},  // 1
               {0x3f808000, 0x3f80},  // half-way above an even one: down
               {0x3f808001, 0x3f81},  // just above half-way: up
               {0x3f818000, 0x3f82},  // half-way above an odd one: up
               {0xbf818000, 0xbf82},  // the same, negative
               {0x7f7fffff, 0x7f80},  // the largest float is nearer to bf16's infinity
               {0x00008000, 0x0000},  // half a denormal step: to even, zero
               {0x00018000, 0x0002},  // one and a half
               {0x7f800000, 0x7f80},  // infinity
               {0xff800000, 0xff80}}) {
        x.push_back(FromBits(bits));
        want.push_back(half);
      }
    }
    ExpectSameBits(Encode(x), want);
  });
}

TEST(EncodeDeltaBf16, KeepsNanEvenWhenItsPayloadIsInTheLowHalf) {
  ForEachInstructionSet([] {
    for (const uint16_t half : Encode(std::vector<float>(37, FromBits(0x7f800001)))) {
      EXPECT_TRUE(std::isnan(Bf16ToFloat(half)));
    }
  });
}

TEST(DeltaBf16, SameBitsAsReference) {
  ForEachInstructionSet([] {
    for (const size_t n : Lengths()) {
      const std::vector<float> x = AwkwardNumbers(n, 11);
      const std::vector<float> base = AwkwardNumbers(n + 1, 12);
      std::vector<uint16_t> got(n), want(n);
      EncodeDeltaBf16(x.data(), base.data() + 1, n, got.data());
      reference::EncodeDeltaBf16(x.data(), base.data() + 1, n, want.data());
      ExpectSameBits(got, want);

      std::vector<float> decoded(n), decoded_want(n);
      DecodeDeltaBf16(got.data(), base.data() + 1, n, decoded.data());
      reference::DecodeDeltaBf16(got.data(), base.data() + 1, n, decoded_want.data());
      ExpectSameBits(decoded, decoded_want);

      std::vector<float> in_place(base.begin() + 1, base.end());
      DecodeDeltaBf16(got.data(), in_place.data(), n, in_place.data());
      ExpectSameBits(in_place, decoded_want);
    }
  });
}

TEST(DecodeDeltaBf16, AddsWhatWasEncoded) {
  const std::vector<float> x = {1.5f, -2.0f, 0.25f};
  const std::vector<float> base = {1.0f, -1.0f, 0.25f};
  std::vector<uint16_t> delta(3);
  std::vector<float> back(3);
  EncodeDeltaBf16(x.data(), base.data(), 3, delta.data());
  DecodeDeltaBf16(delta.data(), base.data(), 3, back.data());
  ExpectSameBits(back, x);  // these differences have at most eight significant bits
}

}  // namespace
}  // namespace weft::kernels
