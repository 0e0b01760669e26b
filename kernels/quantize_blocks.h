// Differences from a base in 8 or 4 bits, blocks of elements sharing a scale: delta_int8,
// delta_int4 and topk_int4. Every back end gives the same bytes and the same floats.
//
//   std::vector<uint8_t> bytes(Int8Bytes(n));
//   if (EncodeDeltaInt8(x, base, n, bytes.data()) != n) ...   // an element that cannot be encoded
//   if (DecodeDeltaInt8(bytes.data(), base, n, x) != n) ...   // a block that nobody encoded
//
// Blocks begin at element 0; the last may be shorter (n of them below). delta = fp32(x - base),
// level = delta / scale to nearest, ties to even; decoded: fp32(base + level x scale), the base
// itself where the level is 0.
//
//   int8, 256 elements   f32 scale    i8 level x n                     |level| <= 127
//   int4, 64 elements    bf16 scale   i4 level x n                     |level| <= 7
//   topk, 256 elements   bf16 scale   u8 index x k   i4 level x k      k = min(kept, n)
//
// Levels of 4 bits lie two in a byte, the first in the low half; the last half of an odd number is
// zero. Scale: largest |delta| / largest level, rounded up to 17 significant bits (int8) or to bf16
// (quantize_grid.h); below 2^-126 it is 0, so that changes below 2^-119 (int8) or 2^-123 do not
// travel. topk: the k largest |delta|, of equal ones those with the lowest index; an entry whose
// level is 0 moves to the lowest free index; indices ascend.
//
// Whatever can be decoded has one byte form: in a block with a scale the largest |level| is 127 (or
// 7), without one all levels are 0, and a topk entry of level 0 has no free index below it.
#ifndef WEFT_KERNELS_QUANTIZE_BLOCKS_H_
#define WEFT_KERNELS_QUANTIZE_BLOCKS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace weft::kernels {

inline constexpr size_t kInt8Block = 256;
inline constexpr size_t kInt4Block = 64;
inline constexpr size_t kTopkBlock = 256;  // an index is one byte
inline constexpr size_t kTopkKeptMax = kTopkBlock / 4;

// Bytes of a block of n elements.
constexpr size_t Int8BlockBytes(size_t n) { return 4 + n; }
constexpr size_t Int4BlockBytes(size_t n) { return 2 + (n + 1) / 2; }
constexpr size_t TopkBlockBytes(size_t n, size_t kept) {
  const size_t k = std::min(kept, n);
  return 2 + k + (k + 1) / 2;
}
// Bytes of n elements.
constexpr size_t Int8Bytes(size_t n) {
  return n / kInt8Block * Int8BlockBytes(kInt8Block) +
         (n % kInt8Block == 0 ? 0 : Int8BlockBytes(n % kInt8Block));
}
constexpr size_t Int4Bytes(size_t n) {
  return n / kInt4Block * Int4BlockBytes(kInt4Block) +
         (n % kInt4Block == 0 ? 0 : Int4BlockBytes(n % kInt4Block));
}
constexpr size_t TopkBytes(size_t n, size_t kept) {
  return n / kTopkBlock * TopkBlockBytes(kTopkBlock, kept) +
         (n % kTopkBlock == 0 ? 0 : TopkBlockBytes(n % kTopkBlock, kept));
}

// What is wrong with the bytes of a block of n elements.
enum class BlockFault { kNone, kScale, kLevel, kIndex, kPadding };
BlockFault FaultOfInt8Block(const uint8_t* block, size_t n);
BlockFault FaultOfInt4Block(const uint8_t* block, size_t n);
BlockFault FaultOfTopkBlock(const uint8_t* block, size_t n, size_t kept);

// Encoders return n, or the first element whose |delta| is not below 2^127 (or is no number); the
// bytes are then of no use. Decoders return n, or the first element of the first block with a
// fault; what is in x from there on is then of no use. x may be base when decoding.
// 1 <= kept <= kTopkKeptMax.
size_t EncodeDeltaInt8(const float* x, const float* base, size_t n, uint8_t* bytes);
size_t DecodeDeltaInt8(const uint8_t* bytes, const float* base, size_t n, float* x);
size_t EncodeDeltaInt4(const float* x, const float* base, size_t n, uint8_t* bytes);
size_t DecodeDeltaInt4(const uint8_t* bytes, const float* base, size_t n, float* x);
size_t EncodeTopkInt4(const float* x, const float* base, size_t n, size_t kept, uint8_t* bytes);
// A copy of the base and a few additions in every block: one version for all.
size_t DecodeTopkInt4(const uint8_t* bytes, const float* base, size_t n, size_t kept, float* x);

namespace reference {
size_t EncodeDeltaInt8(const float* x, const float* base, size_t n, uint8_t* bytes);
size_t DecodeDeltaInt8(const uint8_t* bytes, const float* base, size_t n, float* x);
size_t EncodeDeltaInt4(const float* x, const float* base, size_t n, uint8_t* bytes);
size_t DecodeDeltaInt4(const uint8_t* bytes, const float* base, size_t n, float* x);
size_t EncodeTopkInt4(const float* x, const float* base, size_t n, size_t kept, uint8_t* bytes);
}  // namespace reference

}  // namespace weft::kernels

#endif  // WEFT_KERNELS_QUANTIZE_BLOCKS_H_
