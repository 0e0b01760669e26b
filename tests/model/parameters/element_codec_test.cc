#include "model/parameters/element_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace weft {
namespace {

const VectorFormat kBlockFormats[] = {Encoding::kDeltaInt8, Encoding::kDeltaInt4,
                                      VectorFormat(Encoding::kTopkInt4, 5),
                                      VectorFormat(Encoding::kTopkInt4, 64)};

std::vector<float> Pattern(size_t n, float scale) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = scale * std::sin(0.37f * static_cast<float>(i));
  return x;
}

// Bell-shaped, as changes of a vector are.
std::vector<float> Changes(size_t n, float scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> x(n);
  for (float& value : x) {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += random() / 4294967296.0;
    value = scale * static_cast<float>(sum - 6);
  }
  return x;
}

std::string Encode(VectorFormat format, absl::Span<const float> x, absl::Span<const float> base) {
  std::string bytes;
  const absl::Status status = EncodeElements(format, x, base, 0, &bytes);
  EXPECT_TRUE(status.ok()) << status;
  return bytes;
}

std::vector<float> Decode(VectorFormat format, absl::string_view bytes,
                          absl::Span<const float> base) {
  std::vector<float> x(base.size());
  const absl::Status status = DecodeElements(format, bytes, base, 0, absl::MakeSpan(x));
  EXPECT_TRUE(status.ok()) << status;
  return x;
}

// The scale of the block that holds element i.
float ScaleAt(VectorFormat format, const std::string& bytes, size_t i) {
  const char* block =
      bytes.data() + ElementBytes(format, i / BlockSize(format) * BlockSize(format));
  uint32_t bits = 0;
  if (format == Encoding::kDeltaInt8) {
    std::memcpy(&bits, block, 4);
  } else {
    std::memcpy(reinterpret_cast<char*>(&bits) + 2, block, 2);
  }
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return scale;
}

TEST(ElementCodec, Fp32IsExactAndDeltaBf16IsWithinHalfAStep) {
  const std::vector<float> base = Pattern(1000, 1.0f), change = Pattern(1000, 0.01f);
  std::vector<float> x(1000), decoded(1000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = base[i] + change[i];

  std::string bytes = Encode(Encoding::kParametersFp32, x, {});
  ASSERT_TRUE(
      DecodeElements(Encoding::kParametersFp32, bytes, {}, 0, absl::MakeSpan(decoded)).ok());
  EXPECT_EQ(decoded, x);

  bytes = Encode(Encoding::kDeltaBf16, x, base);
  EXPECT_EQ(bytes.size(), 2000u);
  decoded = Decode(Encoding::kDeltaBf16, bytes, base);
  for (size_t i = 0; i < x.size(); ++i) {
    const float delta = x[i] - base[i];
    EXPECT_LE(std::abs(decoded[i] - x[i]), std::abs(delta) / 256 + 1e-7f) << i;
  }
}

TEST(ElementCodec, IntegersAreWithinHalfAScale) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  for (const VectorFormat& format :
       {VectorFormat(Encoding::kDeltaInt8), VectorFormat(Encoding::kDeltaInt4)}) {
    for (const size_t n : {1u, 63u, 64u, 1000u, 4096u}) {
      const std::vector<float> base = Changes(n, 1.0f, seed), change = Changes(n, 0.01f, seed + 1);
      std::vector<float> x(n);
      for (size_t i = 0; i < n; ++i) x[i] = base[i] + change[i];
      const std::string bytes = Encode(format, x, base);
      ASSERT_EQ(bytes.size(), ElementBytes(format, n));
      const std::vector<float> decoded = Decode(format, bytes, base);
      for (size_t i = 0; i < n; ++i) {
        // Beside the grid: rounding of the factor, and of the sum with the base.
        const double bound = 0.50002 * ScaleAt(format, bytes, i) + 1.2e-7 * std::abs(decoded[i]);
        ASSERT_LE(std::abs(double{decoded[i]} - x[i]), bound) << FormatWords(format) << " " << i;
      }
    }
  }
}

TEST(ElementCodec, TopkSendsTheLargestAndLeavesTheRestOfTheBase) {
  const std::vector<float> base = Pattern(700, 1.0f);
  std::vector<float> x = base;
  // 3 of a block and 3 of the ragged one travel; smaller and equal later ones do not.
  for (const size_t i : {7u, 100u, 255u}) x[i] += 0.5f;
  for (const size_t i : {8u, 101u, 254u}) x[i] += 0.25f;
  for (const size_t i : {600u, 650u, 698u, 699u}) x[i] -= 0.5f;
  const VectorFormat format(Encoding::kTopkInt4, 3);
  std::vector<float> want = base;
  for (const size_t i : {7u, 100u, 255u, 600u, 650u, 698u}) want[i] = x[i];
  const std::vector<float> decoded = Decode(format, Encode(format, x, base), base);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(decoded[i], want[i], 0.5 / 14) << i;
  EXPECT_EQ(decoded[8], base[8]);
  EXPECT_EQ(decoded[699], base[699]);
}

TEST(ElementCodec, NothingChangedIsExactlyTheBase) {
  std::vector<float> base = Pattern(1000, 1.0f);
  base[3] = -0.0f;
  base[4] = 1e-45f;
  base[5] = std::numeric_limits<float>::max();
  std::vector<float> x = base;
  x[700] += 1.0f;  // in a block that has a scale, what did not change is the base all the same
  base[701] = x[701] = -0.0f;
  for (const VectorFormat& format : kBlockFormats) {
    std::vector<float> decoded = Decode(format, Encode(format, x, base), base);
    EXPECT_NEAR(decoded[700], x[700], 0.1);
    decoded[700] = x[700];
    EXPECT_EQ(std::memcmp(decoded.data(), x.data(), x.size() * sizeof(float)), 0)
        << FormatWords(format);
  }
}

TEST(ElementCodec, DecodesInPlace) {
  const std::vector<float> base = Pattern(1000, 1.0f), x = Pattern(1000, 1.01f);
  for (const VectorFormat& format : kBlockFormats) {
    const std::string bytes = Encode(format, x, base);
    std::vector<float> in_place = base;
    ASSERT_TRUE(DecodeElements(format, bytes, in_place, 0, absl::MakeSpan(in_place)).ok());
    EXPECT_EQ(in_place, Decode(format, bytes, base)) << FormatWords(format);
  }
}

// level x scale is exact in fp32, and the largest level is always the same.
TEST(ElementCodec, ADecodedDifferenceHasTheSameBytesAgain) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const std::vector<float> zeros(10'000, 0.0f), x = Changes(zeros.size(), 0.01f, seed);
  for (const VectorFormat& format : kBlockFormats) {
    const std::string bytes = Encode(format, x, zeros);
    EXPECT_EQ(Encode(format, Decode(format, bytes, zeros), zeros), bytes) << FormatWords(format);
  }
}

// e = (d + e) - Q(d + e): what is sent over all rounds is what there was to send, but for the last
// rest; and that is no more than what one round leaves out.
TEST(ElementCodec, WithErrorFeedbackNothingIsLostOverRounds) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const size_t n = 1000;
  const int rounds = 50;
  const std::vector<float> zeros(n, 0.0f);
  for (const VectorFormat& format : kBlockFormats) {
    SCOPED_TRACE(FormatWords(format));
    std::vector<float> rest(n, 0.0f);
    std::vector<double> wanted(n), sent(n);
    std::string bytes;
    for (int round = 0; round < rounds; ++round) {
      std::vector<float> d = Changes(n, 0.01f, seed + round);
      for (size_t i = 0; i < n; ++i) {
        wanted[i] += d[i];
        d[i] += rest[i];
      }
      bytes = Encode(format, d, zeros);
      const std::vector<float> q = Decode(format, bytes, zeros);
      for (size_t i = 0; i < n; ++i) {
        sent[i] += q[i];
        rest[i] = d[i] - q[i];
      }
    }
    for (size_t i = 0; i < n; ++i) {
      // What stays behind of a topk block is below what travelled: at most 7 scales.
      const double levels = format.encoding == Encoding::kTopkInt4 ? 7 : 1;
      ASSERT_LE(std::abs(sent[i] - wanted[i]), levels * ScaleAt(format, bytes, i) + 1e-6) << i;
    }
  }
}

TEST(ElementCodec, RefusesWhatIsNotFinite) {
  const std::vector<float> base(1000, 0.0f);
  std::string bytes = "kept";
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> x = Pattern(1000, 1.0f);
    x[307] = x[800] = bad;
    for (const VectorFormat& format : kBlockFormats) {
      const absl::Status status = EncodeElements(format, x, base, 256, &bytes);
      EXPECT_NE(status.message().find("element 563 of the vector is not finite"),
                absl::string_view::npos)
          << status;
    }
    EXPECT_NE(
        EncodeElements(Encoding::kParametersFp32, x, {}, 100, &bytes).message().find("element 407"),
        absl::string_view::npos);
  }
  EXPECT_EQ(bytes, "kept") << "nothing is appended of what was refused";
  const uint16_t infinity = 0x7f80;
  std::vector<float> out(1);
  EXPECT_FALSE(DecodeElements(Encoding::kDeltaBf16, {reinterpret_cast<const char*>(&infinity), 2},
                              {base.data(), 1}, 0, absl::MakeSpan(out))
                   .ok());
}

TEST(ElementCodec, RefusesAChangeThatIsTooLarge) {
  std::vector<float> x(300, 1.0f), base(300, 0.0f);
  std::string bytes;
  x[299] = std::numeric_limits<float>::max();  // rounds up to infinity in bf16
  EXPECT_FALSE(EncodeElements(Encoding::kDeltaBf16, x, base, 0, &bytes).ok());
  x[299] = std::ldexp(1.0f, 127);
  base[299] = 0.0f;
  for (const VectorFormat& format : kBlockFormats) {
    EXPECT_NE(
        EncodeElements(format, x, base, 0, &bytes).message().find("the change of element 299"),
        absl::string_view::npos);
  }
  // The difference of two floats overflows; so does no difference just below the bound.
  x[299] = 3e38f;
  base[299] = -3e38f;
  for (const VectorFormat& format : kBlockFormats) {
    EXPECT_FALSE(EncodeElements(format, x, base, 0, &bytes).ok());
  }
  x[299] = std::nextafter(std::ldexp(1.0f, 127), 0.0f);
  base[299] = 0.0f;
  for (const VectorFormat& format : kBlockFormats) {
    const std::vector<float> decoded = Decode(format, Encode(format, x, base), base);
    EXPECT_NEAR(decoded[299] / x[299], 1.0, 0.01) << FormatWords(format);
  }
}

// One byte changed at a time: each refusal says which block, and what is wrong with it.
TEST(ElementCodec, RefusesBlocksThatNobodyEncodes) {
  struct Case {
    VectorFormat format;
    size_t at;  // in the second block
    std::string bytes;
    const char* words;
  };
  const VectorFormat int8 = Encoding::kDeltaInt8, int4 = Encoding::kDeltaInt4;
  const VectorFormat topk(Encoding::kTopkInt4, 3);
  const size_t indices = 2, levels = 5;
  const Case cases[] = {
      {int8, 0, std::string("\0\0\xc0\x7f", 4), "scale"},  // NaN
      {int8, 0, std::string("\0\0\x80\x7f", 4), "scale"},  // infinity
      {int8, 0, std::string("\0\0\0\xbc", 4), "scale"},    // negative
      {int8, 0, std::string("\0\0\0\x80", 4), "scale"},    // -0
      {int8, 0, std::string("\0\0\x40\0", 4), "scale"},    // denormal
      {int8, 0, std::string("\1\0\0\x3c", 4), "scale"},    // more bits than a scale has
      {int8, 0, std::string("\0\0\0\0", 4), "level"},      // levels without a scale
      {int8, 4, "\x80", "level"},                          // -128
      {int4, 0, std::string("\xc0\x7f", 2), "scale"},
      {int4, 0, std::string("\0\xbc", 2), "scale"},
      {int4, 0, std::string("\0\0", 2), "level"},
      {int4, 2, "\x08", "level"},  // -8
      {int4, 2, "\x80", "level"},
      {topk, 0, std::string("\x80\x7f", 2), "scale"},
      {topk, indices, "\x05\x05\x06", "indices"},           // twice the same
      {topk, indices, "\x05\x04\x06", "indices"},           // descending
      {topk, indices, "\x05\x06\xf0", "indices"},           // beyond the 100 of the last block
      {topk, levels, "\x87\x07", "level"},                  // -8
      {topk, levels, "\x11\x01", "level"},                  // none is the largest
      {topk, levels, "\x77\x17", "half"},                   // a level after the last
      {topk, levels, std::string("\x77\0", 2), "indices"},  // a level of 0 that is not in front
  };
  for (const Case& c : cases) {
    const size_t first = BlockSize(c.format), n = first == 64 ? 101 : 356;
    std::vector<float> base(n, 1.0f), x = base, out(n);
    x[first + 10] = 1.5f;  // the largest of each block: no other byte below is one
    for (const size_t i : {5u, 20u, 30u}) x[first + i] = 1.4f;
    x[5] = 1.5f;
    std::string bytes = Encode(c.format, x, base);
    ASSERT_TRUE(DecodeElements(c.format, bytes, base, 0, absl::MakeSpan(out)).ok());
    bytes.replace(ElementBytes(c.format, first) + c.at, c.bytes.size(), c.bytes);
    const absl::Status status = DecodeElements(c.format, bytes, base, 512, absl::MakeSpan(out));
    SCOPED_TRACE(testing::Message() << FormatWords(c.format) << ": " << status);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    const std::string block = "elements " + std::to_string(512 + first) + " to ";
    EXPECT_NE(status.message().find(block), absl::string_view::npos);
    EXPECT_NE(status.message().find(c.words), absl::string_view::npos);
  }
}

TEST(ElementCodec, RefusesASumThatIsNotFinite) {
  const std::vector<float> zero(64, 0.0f), change(64, 1e38f);
  const std::vector<float> base(64, std::numeric_limits<float>::max());
  const std::string bytes = Encode(Encoding::kDeltaInt4, change, zero);
  std::vector<float> out(64);
  const absl::Status status =
      DecodeElements(Encoding::kDeltaInt4, bytes, base, 128, absl::MakeSpan(out));
  EXPECT_NE(status.message().find("element 128"), absl::string_view::npos) << status;
}

TEST(ElementCodecDeathTest, BlocksBeginAtMultiplesOfTheirSize) {
  const std::vector<float> x(64, 1.0f);
  std::string bytes;
  EXPECT_DEATH(EncodeElements(Encoding::kDeltaInt4, x, x, 32, &bytes).IgnoreError(), "");
}

}  // namespace
}  // namespace weft
