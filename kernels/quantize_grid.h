// One number onto a grid and back: what every back end of quantize_blocks.h shares. A grid has a
// scale and whole levels, and a number is nearest to level x scale. Pure.
//
//   const float scale = GridScale(largest, kInt8Level, kInt8Dropped);
//   const int level = GridLevel(delta, GridInverse(scale));   // -127 .. 127
//
// A scale keeps so few significant bits that level x scale is exact in fp32 (17 and 7 bits for
// int8, 8 and 3 for int4). A fused multiply-add then gives the same bits as two operations, and a
// decoded difference is encoded into the same bytes again.
#ifndef WEFT_KERNELS_QUANTIZE_GRID_H_
#define WEFT_KERNELS_QUANTIZE_GRID_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/bf16.h"

namespace weft::kernels {

inline constexpr int kInt8Level = 127;  // the largest level
inline constexpr int kInt4Level = 7;
// Low bits of an fp32 that are zero in a scale.
inline constexpr uint32_t kInt8Dropped = 0x7f;
inline constexpr uint32_t kInt4Dropped = 0xffff;  // what is left is a bf16
// A difference at or beyond 2^127 is refused: the largest level could decode to an infinity.
inline constexpr uint32_t kBeyondBits = 0x7f000000;
// A scale is zero or a normal number, so that nothing depends on how denormals are treated.
inline constexpr uint32_t kSmallestScaleBits = 0x00800000;

WEFT_HOST_DEVICE inline uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

WEFT_HOST_DEVICE inline float FloatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// largest / level, rounded up to the bits that a scale keeps: no level overflows, and the largest
// difference always takes the largest level. 0 when it would be below the smallest normal number.
// Requires 0 <= largest < 2^127.
WEFT_HOST_DEVICE inline float GridScale(float largest, int level, uint32_t dropped) {
  const uint32_t exact = BitsOf(largest / static_cast<float>(level));
  return exact < kSmallestScaleBits ? 0.0f : FloatOf((exact + dropped) & ~dropped);
}

// The factor that turns differences into levels; finite, because a scale is never denormal.
WEFT_HOST_DEVICE inline float GridInverse(float scale) { return scale == 0 ? 0 : 1.0f / scale; }

// Nearest level, ties to even: adding 1.5 x 2^23 leaves an fp32 no bits below one.
WEFT_HOST_DEVICE inline int GridLevel(float delta, float inverse) {
  constexpr float kNoFraction = 12582912.0f;
  return static_cast<int>((delta * inverse + kNoFraction) - kNoFraction);
}

// Zero, or a positive normal number with the low bits zero.
WEFT_HOST_DEVICE inline bool IsGridScale(uint32_t bits, uint32_t dropped) {
  if (bits == 0) return true;
  return bits >= kSmallestScaleBits && bits < 0x7f800000u && (bits & dropped) == 0;
}

// A level of 0 keeps every bit of the base (-0 + 0 would be +0).
WEFT_HOST_DEVICE inline float AddLevel(float base, int level, float scale) {
  return level == 0 ? base : base + static_cast<float>(level) * scale;
}

// The scale of 4-bit levels lies as a bf16.
WEFT_HOST_DEVICE inline uint32_t Int4ScaleBits(const uint8_t* block) {
  return static_cast<uint32_t>(block[0]) << 16 | static_cast<uint32_t>(block[1]) << 24;
}
WEFT_HOST_DEVICE inline void PutInt4Scale(float scale, uint8_t* block) {
  block[0] = static_cast<uint8_t>(BitsOf(scale) >> 16);
  block[1] = static_cast<uint8_t>(BitsOf(scale) >> 24);
}

// Levels of 4 bits, -8 .. 7, two in a byte, the first in the low half; unused is zero.
WEFT_HOST_DEVICE inline int LevelOfNibble(int nibble) { return ((nibble & 0xf) ^ 8) - 8; }
WEFT_HOST_DEVICE inline int NibbleAt(const uint8_t* nibbles, size_t i) {
  return LevelOfNibble(nibbles[i / 2] >> (i % 2 * 4));
}
WEFT_HOST_DEVICE inline void PutNibbles(const int8_t* levels, size_t n, uint8_t* nibbles) {
  for (size_t i = 0; i < n; i += 2) {
    const int high = i + 1 < n ? levels[i + 1] & 0xf : 0;
    nibbles[i / 2] = static_cast<uint8_t>((levels[i] & 0xf) | high << 4);
  }
}

}  // namespace weft::kernels

#endif  // WEFT_KERNELS_QUANTIZE_GRID_H_
