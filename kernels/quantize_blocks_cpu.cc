// quantize_blocks.h with portable SIMD: compiled once for each instruction set, chosen at run time.
// Whole blocks only; the ragged last one is the reference's.
#include <cstring>

#include "kernels/highway_targets.h"
#include "kernels/quantize_blocks.h"
#include "kernels/quantize_grid.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize_blocks_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace weft::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using I8 = hn::Rebind<int8_t, F32>;

// Differences of kCount elements, and the bits of the largest |delta| (as bits, so that an
// infinity or a NaN is above all numbers).
template <size_t kCount>
HWY_INLINE uint32_t Differences(const float* x, const float* base, float* delta) {
  const F32 f;
  const I32 i32;
  const auto magnitude = hn::Set(i32, 0x7fffffff);
  auto largest = hn::Zero(i32);
  for (size_t i = 0; i < kCount; i += hn::Lanes(f)) {
    const auto difference = hn::Sub(hn::LoadU(f, x + i), hn::LoadU(f, base + i));
    hn::Store(difference, f, delta + i);
    largest = hn::Max(largest, hn::And(hn::BitCast(i32, difference), magnitude));
  }
  return static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(i32, largest)));
}

template <size_t kCount>
HWY_INLINE void ToLevels(const float* delta, float scale, int8_t* levels) {
  const F32 f;
  const I8 i8;
  const auto inverse = hn::Set(f, GridInverse(scale));
  for (size_t i = 0; i < kCount; i += hn::Lanes(f)) {
    const auto level = hn::NearestInt(hn::Mul(hn::Load(f, delta + i), inverse));
    hn::StoreU(hn::DemoteTo(i8, level), i8, levels + i);
  }
}

// x = base + level x scale; the largest |level|, by which a faulty block is known.
template <size_t kCount>
HWY_INLINE int AddLevels(const int8_t* levels, float scale, const float* base, float* x) {
  const F32 f;
  const I32 i32;
  const I8 i8;
  const auto scales = hn::Set(f, scale);
  const auto zero = hn::Zero(i32);
  auto largest = zero;
  for (size_t i = 0; i < kCount; i += hn::Lanes(f)) {
    const auto level = hn::PromoteTo(i32, hn::LoadU(i8, levels + i));
    largest = hn::Max(largest, hn::Abs(level));
    const auto before = hn::LoadU(f, base + i);
    const auto after = hn::Add(before, hn::Mul(hn::ConvertTo(f, level), scales));
    hn::StoreU(hn::IfThenElse(hn::RebindMask(f, hn::Eq(level, zero)), before, after), f, x + i);
  }
  return hn::GetLane(hn::MaxOfLanes(i32, largest));
}

// Two levels of 4 bits to a byte, and back; the first is in the low half.
#if HWY_TARGET == HWY_SCALAR  // has no bytes within a 16-bit lane
HWY_INLINE void PackNibbles(const int8_t* levels, uint8_t* nibbles) {
  PutNibbles(levels, kInt4Block, nibbles);
}
HWY_INLINE void UnpackNibbles(const uint8_t* nibbles, int8_t* levels) {
  for (size_t i = 0; i < kInt4Block; ++i) levels[i] = static_cast<int8_t>(NibbleAt(nibbles, i));
}
#else
HWY_INLINE void PackNibbles(const int8_t* levels, uint8_t* nibbles) {
  const hn::CappedTag<int8_t, kInt4Block> i8;
  const hn::RepartitionToWide<hn::RebindToUnsigned<decltype(i8)> > u16;
  const hn::RebindToSigned<decltype(u16)> i16;
  const hn::Rebind<uint8_t, decltype(u16)> u8;
  const auto low = hn::Set(u16, 0x0f), high = hn::Set(u16, 0xf0);
  for (size_t i = 0; i < kInt4Block; i += hn::Lanes(i8)) {
    const auto two = hn::BitCast(u16, hn::Load(i8, levels + i));
    const auto byte = hn::Or(hn::And(two, low), hn::And(hn::ShiftRight<4>(two), high));
    hn::StoreU(hn::DemoteTo(u8, hn::BitCast(i16, byte)), u8, nibbles + i / 2);
  }
}

HWY_INLINE void UnpackNibbles(const uint8_t* nibbles, int8_t* levels) {
  const hn::CappedTag<int8_t, kInt4Block> i8;
  const hn::RepartitionToWide<hn::RebindToUnsigned<decltype(i8)> > u16;
  const hn::Rebind<uint8_t, decltype(u16)> u8;
  const auto low = hn::Set(u16, 0x000f), high = hn::Set(u16, 0x0f00);
  const auto sign = hn::Set(i8, 8);
  for (size_t i = 0; i < kInt4Block; i += hn::Lanes(i8)) {
    const auto byte = hn::PromoteTo(u16, hn::LoadU(u8, nibbles + i / 2));
    const auto two = hn::Or(hn::And(byte, low), hn::And(hn::ShiftLeft<4>(byte), high));
    // 0 .. 15 to -8 .. 7, as LevelOfNibble does.
    hn::Store(hn::Sub(hn::Xor(hn::BitCast(i8, two), sign), sign), i8, levels + i);
  }
}
#endif

size_t EncodeDeltaInt8(const float* x, const float* base, size_t n, uint8_t* bytes) {
  HWY_ALIGN float delta[kInt8Block];
  size_t begin = 0;
  for (; begin + kInt8Block <= n; begin += kInt8Block) {
    const uint32_t largest = Differences<kInt8Block>(x + begin, base + begin, delta);
    if (largest >= kBeyondBits) break;  // the reference says which it is
    const float scale = GridScale(FloatOf(largest), kInt8Level, kInt8Dropped);
    std::memcpy(bytes, &scale, sizeof scale);
    ToLevels<kInt8Block>(delta, scale, reinterpret_cast<int8_t*>(bytes + 4));
    bytes += Int8BlockBytes(kInt8Block);
  }
  return begin + reference::EncodeDeltaInt8(x + begin, base + begin, n - begin, bytes);
}

size_t DecodeDeltaInt8(const uint8_t* bytes, const float* base, size_t n, float* x) {
  size_t begin = 0;
  for (; begin + kInt8Block <= n; begin += kInt8Block) {
    uint32_t scale_bits;
    std::memcpy(&scale_bits, bytes, sizeof scale_bits);
    if (!IsGridScale(scale_bits, kInt8Dropped)) return begin;
    const int largest = AddLevels<kInt8Block>(reinterpret_cast<const int8_t*>(bytes + 4),
                                              FloatOf(scale_bits), base + begin, x + begin);
    if (largest != (scale_bits == 0 ? 0 : kInt8Level)) return begin;
    bytes += Int8BlockBytes(kInt8Block);
  }
  return begin + reference::DecodeDeltaInt8(bytes, base + begin, n - begin, x + begin);
}

size_t EncodeDeltaInt4(const float* x, const float* base, size_t n, uint8_t* bytes) {
  HWY_ALIGN float delta[kInt4Block];
  HWY_ALIGN int8_t levels[kInt4Block];
  size_t begin = 0;
  for (; begin + kInt4Block <= n; begin += kInt4Block) {
    const uint32_t largest = Differences<kInt4Block>(x + begin, base + begin, delta);
    if (largest >= kBeyondBits) break;
    const float scale = GridScale(FloatOf(largest), kInt4Level, kInt4Dropped);
    ToLevels<kInt4Block>(delta, scale, levels);
    PutInt4Scale(scale, bytes);
    PackNibbles(levels, bytes + 2);
    bytes += Int4BlockBytes(kInt4Block);
  }
  return begin + reference::EncodeDeltaInt4(x + begin, base + begin, n - begin, bytes);
}

size_t DecodeDeltaInt4(const uint8_t* bytes, const float* base, size_t n, float* x) {
  HWY_ALIGN int8_t levels[kInt4Block];
  size_t begin = 0;
  for (; begin + kInt4Block <= n; begin += kInt4Block) {
    const uint32_t scale_bits = Int4ScaleBits(bytes);
    if (!IsGridScale(scale_bits, kInt4Dropped)) return begin;
    UnpackNibbles(bytes + 2, levels);
    const int largest = AddLevels<kInt4Block>(levels, FloatOf(scale_bits), base + begin, x + begin);
    if (largest != (scale_bits == 0 ? 0 : kInt4Level)) return begin;
    bytes += Int4BlockBytes(kInt4Block);
  }
  return begin + reference::DecodeDeltaInt4(bytes, base + begin, n - begin, x + begin);
}

HWY_INLINE size_t CountFrom(const float* delta, uint32_t threshold) {
  const F32 f;
  const I32 i32;
  const auto magnitude = hn::Set(i32, 0x7fffffff);
  const auto below = hn::Set(i32, static_cast<int32_t>(threshold) - 1);
  auto count = hn::Zero(i32);  // minus what each lane has met
  for (size_t i = 0; i < kTopkBlock; i += hn::Lanes(f)) {
    const auto bits = hn::And(hn::BitCast(i32, hn::Load(f, delta + i)), magnitude);
    count = hn::Add(count, hn::VecFromMask(i32, hn::Gt(bits, below)));
  }
  return static_cast<size_t>(-hn::GetLane(hn::SumOfLanes(i32, count)));
}

// The largest threshold for which at least k differences have magnitude bits >= it, or any that
// exactly k have: found by halving. Most differences are within a factor of four of the largest,
// so that interval comes first.
HWY_INLINE uint32_t Threshold(const float* delta, uint32_t largest, size_t k, size_t* count) {
  constexpr uint32_t kFactorOfFour = 2u << 23;
  uint32_t enough = 0, few = largest + 1;  // at least k from `enough` on, fewer from `few` on
  *count = kTopkBlock;
  if (largest > kFactorOfFour) {
    const uint32_t first = largest - kFactorOfFour;
    const size_t from = CountFrom(delta, first);
    if (from >= k) {
      enough = first;
      *count = from;
    } else {
      few = first;
    }
  }
  while (few - enough > 1 && *count != k) {
    const uint32_t middle = enough + (few - enough) / 2;
    const size_t from = CountFrom(delta, middle);
    if (from >= k) {
      enough = middle;
      *count = from;
    } else {
      few = middle;
    }
  }
  return enough;
}

// The indices of the k largest, ascending: all above the threshold, and the first of those that are
// equal to it. Levels beside them.
HWY_INLINE void Collect(const float* delta, uint32_t threshold, size_t equal_left, float inverse,
                        uint8_t* indices, int8_t* levels) {
  const F32 f;
  const I32 i32;
  const auto magnitude = hn::Set(i32, 0x7fffffff);
  const auto below = hn::Set(i32, static_cast<int32_t>(threshold) - 1);
  for (size_t i = 0; i < kTopkBlock; i += hn::Lanes(f)) {
    const auto bits = hn::And(hn::BitCast(i32, hn::Load(f, delta + i)), magnitude);
    if (hn::AllFalse(i32, hn::Gt(bits, below))) continue;
    for (size_t j = i; j < i + hn::Lanes(f); ++j) {
      const uint32_t own = BitsOf(delta[j]) & 0x7fffffffu;
      if (own < threshold || (own == threshold && equal_left == 0)) continue;
      if (own == threshold) --equal_left;
      *indices++ = static_cast<uint8_t>(j);
      *levels++ = static_cast<int8_t>(GridLevel(delta[j], inverse));
    }
  }
}

// Entries whose level is 0 take the lowest indices that are free; indices ascend before and after.
HWY_INLINE void MoveZerosToFront(size_t k, uint8_t* indices, int8_t* levels) {
  uint8_t others[kTopkKeptMax];
  int8_t other_levels[kTopkKeptMax];
  size_t other_count = 0;
  for (size_t j = 0; j < k; ++j) {
    others[other_count] = indices[j];
    other_levels[other_count] = levels[j];
    other_count += levels[j] != 0;
  }
  size_t zeros = k - other_count;
  if (zeros == 0) return;
  for (size_t j = 0, other = 0; j < k; ++j) {
    // As long as zeros are left, no index below j is free.
    const bool is_other = other < other_count && (zeros == 0 || others[other] == j);
    indices[j] = is_other ? others[other] : static_cast<uint8_t>(j);
    levels[j] = is_other ? other_levels[other] : int8_t{0};
    other += is_other;
    zeros -= !is_other;
  }
}

size_t EncodeTopkInt4(const float* x, const float* base, size_t n, size_t kept, uint8_t* bytes) {
  HWY_ALIGN float delta[kTopkBlock];
  int8_t levels[kTopkKeptMax];
  size_t begin = 0;
  for (; begin + kTopkBlock <= n; begin += kTopkBlock) {
    const uint32_t largest = Differences<kTopkBlock>(x + begin, base + begin, delta);
    if (largest >= kBeyondBits) break;
    const float scale = GridScale(FloatOf(largest), kInt4Level, kInt4Dropped);
    size_t count;
    const uint32_t threshold = Threshold(delta, largest, kept, &count);
    // Where more than k have it, as many of the equal ones stay behind.
    const size_t equal = count == kept ? kTopkBlock : kept - CountFrom(delta, threshold + 1);
    Collect(delta, threshold, equal, GridInverse(scale), bytes + 2, levels);
    MoveZerosToFront(kept, bytes + 2, levels);
    PutInt4Scale(scale, bytes);
    PutNibbles(levels, kept, bytes + 2 + kept);
    bytes += TopkBlockBytes(kTopkBlock, kept);
  }
  return begin + reference::EncodeTopkInt4(x + begin, base + begin, n - begin, kept, bytes);
}

}  // namespace HWY_NAMESPACE
}  // namespace weft::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weft::kernels {

HWY_EXPORT(EncodeDeltaInt8);
HWY_EXPORT(DecodeDeltaInt8);
HWY_EXPORT(EncodeDeltaInt4);
HWY_EXPORT(DecodeDeltaInt4);
HWY_EXPORT(EncodeTopkInt4);

size_t EncodeDeltaInt8(const float* x, const float* base, size_t n, uint8_t* bytes) {
  return HWY_DYNAMIC_DISPATCH(EncodeDeltaInt8)(x, base, n, bytes);
}
size_t DecodeDeltaInt8(const uint8_t* bytes, const float* base, size_t n, float* x) {
  return HWY_DYNAMIC_DISPATCH(DecodeDeltaInt8)(bytes, base, n, x);
}
size_t EncodeDeltaInt4(const float* x, const float* base, size_t n, uint8_t* bytes) {
  return HWY_DYNAMIC_DISPATCH(EncodeDeltaInt4)(x, base, n, bytes);
}
size_t DecodeDeltaInt4(const uint8_t* bytes, const float* base, size_t n, float* x) {
  return HWY_DYNAMIC_DISPATCH(DecodeDeltaInt4)(bytes, base, n, x);
}
size_t EncodeTopkInt4(const float* x, const float* base, size_t n, size_t kept, uint8_t* bytes) {
  return HWY_DYNAMIC_DISPATCH(EncodeTopkInt4)(x, base, n, kept, bytes);
}

}  // namespace weft::kernels
#endif
