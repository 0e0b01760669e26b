// Every back end of quantize_blocks against the reference, bit for bit, and the reference against
// an independent program.
#include "kernels/quantize_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "tests/kernels/back_ends.h"

namespace weft::kernels {
namespace {

using testing::AwkwardNumbers;
using testing::ExpectSameBits;
using testing::ForEachInstructionSet;

using Encoder = std::function<size_t(const float*, const float*, size_t, uint8_t*)>;
using Decoder = std::function<size_t(const uint8_t*, const float*, size_t, float*)>;

struct BlockEncoding {
  std::string name;
  std::function<size_t(size_t)> bytes;
  Encoder encode, reference_encode;
  Decoder decode, reference_decode;
};

BlockEncoding Topk(size_t kept) {
  const auto decode = [kept](auto... arguments) {
    const auto [bytes, base, n, x] = std::tuple(arguments...);
    return DecodeTopkInt4(bytes, base, n, kept, x);
  };
  return {"topk, " + std::to_string(kept) + " kept",
          [kept](size_t n) { return TopkBytes(n, kept); },
          [kept](const float* x, const float* base, size_t n, uint8_t* bytes) {
            return EncodeTopkInt4(x, base, n, kept, bytes);
          },
          [kept](const float* x, const float* base, size_t n, uint8_t* bytes) {
            return reference::EncodeTopkInt4(x, base, n, kept, bytes);
          },
          decode,
          decode};
}

const std::vector<BlockEncoding>& BlockEncodings() {
  static const std::vector<BlockEncoding> encodings = {
      {"int8", Int8Bytes, EncodeDeltaInt8, reference::EncodeDeltaInt8, DecodeDeltaInt8,
       reference::DecodeDeltaInt8},
      {"int4", Int4Bytes, EncodeDeltaInt4, reference::EncodeDeltaInt4, DecodeDeltaInt4,
       reference::DecodeDeltaInt4},
      Topk(3),
      Topk(64)};
  return encodings;
}

// Both directions of one input, by the best back end and by the reference.
void ExpectAsTheReference(const BlockEncoding& encoding, const std::vector<float>& x,
                          const std::vector<float>& base) {
  const size_t n = x.size();
  std::vector<uint8_t> got(encoding.bytes(n), 0xee), want(encoding.bytes(n), 0xdd);
  const size_t encoded = encoding.encode(x.data(), base.data(), n, got.data());
  ASSERT_EQ(encoded, encoding.reference_encode(x.data(), base.data(), n, want.data()));
  if (encoded != n) return;
  ExpectSameBits(got, want);
  std::vector<float> decoded(n), decoded_want(n);
  ASSERT_EQ(encoding.decode(got.data(), base.data(), n, decoded.data()), n);
  ASSERT_EQ(encoding.reference_decode(got.data(), base.data(), n, decoded_want.data()), n);
  ExpectSameBits(decoded, decoded_want);
  std::vector<float> in_place = base;
  ASSERT_EQ(encoding.decode(got.data(), in_place.data(), n, in_place.data()), n);
  ExpectSameBits(in_place, decoded_want);
}

void ForEachEncoding(const std::function<void(const BlockEncoding&)>& check) {
  for (const BlockEncoding& encoding : BlockEncodings()) {
    SCOPED_TRACE(encoding.name);
    check(encoding);
  }
}

TEST(QuantizeBlocks, SameBitsAsReferenceAtEveryLength) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  ForEachInstructionSet([&] {
    ForEachEncoding([&](const BlockEncoding& encoding) {
      for (size_t n = 0; n <= 600; ++n) {
        SCOPED_TRACE(n);
        // Of like size, as changes are; and of all sizes at once, where most levels are 0.
        const std::vector<float> base = AwkwardNumbers(n, seed), change = AwkwardNumbers(n, n);
        std::vector<float> x(n);
        for (size_t i = 0; i < n; ++i) x[i] = base[i] + 0.01f * std::fmod(change[i], 8.0f);
        ExpectAsTheReference(encoding, x, base);
        if (n % 8 == 0) ExpectAsTheReference(encoding, AwkwardNumbers(n, seed + 1 + n), base);
      }
    });
  });
}

// Blocks of one magnitude each, from the smallest denormals to beyond the bound, with ties, zeros
// of both signs and nothing at all.
TEST(QuantizeBlocks, SameBitsAsReferenceAtEveryMagnitude) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  ForEachInstructionSet([&] {
    ForEachEncoding([&](const BlockEncoding& encoding) {
      const std::vector<float> zeros(512, 0.0f), minus_zeros(512, -0.0f);
      for (int exponent = -150; exponent <= 127; ++exponent) {
        SCOPED_TRACE(exponent);
        std::mt19937 random(seed + exponent);
        std::vector<float> x(512), ties(512);
        for (size_t i = 0; i < x.size(); ++i) {
          const float unit = static_cast<float>(random() >> 8) / 8388608.0f - 1.0f;
          x[i] = std::ldexp(unit, exponent);
          ties[i] = std::ldexp(std::round(4 * unit) / 2, exponent);  // on and half-way off a grid
        }
        ExpectAsTheReference(encoding, x, zeros);
        ExpectAsTheReference(encoding, ties, minus_zeros);
        ExpectAsTheReference(encoding, std::vector<float>(512, x[0]), zeros);
      }
      ExpectAsTheReference(encoding, zeros, minus_zeros);
      ExpectAsTheReference(encoding, minus_zeros, zeros);
    });
  });
}

TEST(QuantizeBlocks, ScalesAreRoundedUpAndNeverDenormal) {
  const auto scale_bits = [](float largest) {
    std::vector<float> x(1, largest), base(1, 0.0f);
    std::vector<uint8_t> bytes(Int8Bytes(1));
    EncodeDeltaInt8(x.data(), base.data(), 1, bytes.data());
    uint32_t bits;
    std::memcpy(&bits, bytes.data(), sizeof bits);
    return bits;
  };
  EXPECT_EQ(scale_bits(127.0f), 0x3f800000u);                          // exactly 1
  EXPECT_EQ(scale_bits(std::nextafter(127.0f, 128.0f)), 0x3f800080u);  // the next of 17 bits
  EXPECT_EQ(scale_bits(127 * 0x1p-126f), 0x00800000u);                 // the smallest normal number
  EXPECT_EQ(scale_bits(std::nextafter(127 * 0x1p-126f, 0.0f)), 0u);
  EXPECT_EQ(scale_bits(-1e-45f), 0u);
}

TEST(QuantizeBlocks, NamesTheFirstElementThatIsTooLarge) {
  ForEachInstructionSet([] {
    ForEachEncoding([](const BlockEncoding& encoding) {
      const std::vector<float> base(1100, 0.0f);
      std::vector<uint8_t> bytes(encoding.bytes(1100));
      for (const float bad : {INFINITY, -INFINITY, std::nanf(""), -0x1p127f}) {
        for (const size_t at : {0u, 63u, 64u, 700u, 1023u, 1024u, 1099u}) {
          std::vector<float> x = AwkwardNumbers(1100, 5);
          x[at] = bad;
          if (at + 20 < x.size()) x[at + 20] = INFINITY;
          EXPECT_EQ(encoding.encode(x.data(), base.data(), x.size(), bytes.data()), at) << bad;
        }
      }
    });
  });
}

// Any byte that is changed gives another vector, or a block that is refused, at the same place by
// every back end.
TEST(QuantizeBlocks, ChangedBytesAreRefusedOrMeanSomethingElse) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  const std::vector<float> base = AwkwardNumbers(600, seed, 0.1f);
  const std::vector<float> zeros(600, 0.0f);
  ForEachInstructionSet([&] {
    ForEachEncoding([&](const BlockEncoding& encoding) {
      std::vector<float> x = AwkwardNumbers(600, seed + 1), whole(600), got(600), want(600);
      for (float& value : x) value = std::fmod(value, 8.0f);
      std::vector<uint8_t> bytes(encoding.bytes(600));
      ASSERT_EQ(encoding.encode(x.data(), zeros.data(), 600, bytes.data()), 600u);
      ASSERT_EQ(encoding.decode(bytes.data(), zeros.data(), 600, whole.data()), 600u);
      std::mt19937 random(seed + 2);
      for (uint8_t& byte : bytes) {
        const uint8_t before = byte;
        byte ^= static_cast<uint8_t>(random() % 255 + 1);
        const size_t until = encoding.decode(bytes.data(), zeros.data(), 600, got.data());
        ASSERT_EQ(until, encoding.reference_decode(bytes.data(), zeros.data(), 600, want.data()));
        if (until == 600) {
          ExpectSameBits(got, want);
          EXPECT_NE(got, whole) << "byte " << &byte - bytes.data() << ", " << int{before};
        }
        byte = before;
      }
    });
  });
}

// Printed by tests/golden/block_encodings.py, an independent implementation with numpy.
std::vector<float> GoldenNumbers(size_t n, uint32_t state) {
  std::vector<float> numbers(n);
  for (size_t i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;
    const float unit = (static_cast<float>(state >> 8) - 8388608.0f) / 8388608.0f;
    numbers[i] = std::ldexp(unit, -static_cast<int>(i / 300));
  }
  return numbers;
}

uint64_t Fnv1a(const std::vector<uint8_t>& bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
  return hash;
}

std::string Hex(const std::vector<uint8_t>& bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

TEST(QuantizeBlocks, HasTheBytesOfAnIndependentImplementation) {
  struct Golden {
    const char* of_five;
    size_t bytes;
    uint64_t hash;
  };
  const Golden golden[] = {
      {"80f52b3c00ef3cf981", 3048, 0xe930f899f589fa0d},    // int8
      {"433ef00309", 1594, 0xc3b5df56dd0fd58d},            // int4
      {"433e0102043f09", 84, 0x2d4e2033cd368931},          // topk, 3 kept
      {"433e0001020304f00309", 1176, 0xc1f04249f335384c},  // topk, 64 kept
  };
  const std::vector<float> x = GoldenNumbers(3000, 1), base = GoldenNumbers(3000, 2);
  for (size_t e = 0; e < BlockEncodings().size(); ++e) {
    const BlockEncoding& encoding = BlockEncodings()[e];
    SCOPED_TRACE(encoding.name);
    std::vector<uint8_t> five(encoding.bytes(5)), all(encoding.bytes(3000));
    ASSERT_EQ(encoding.encode(x.data(), base.data(), 5, five.data()), 5u);
    EXPECT_EQ(Hex(five), golden[e].of_five);
    ASSERT_EQ(encoding.encode(x.data(), base.data(), 3000, all.data()), 3000u);
    EXPECT_EQ(all.size(), golden[e].bytes);
    EXPECT_EQ(Fnv1a(all), golden[e].hash);
  }
}

}  // namespace
}  // namespace weft::kernels
