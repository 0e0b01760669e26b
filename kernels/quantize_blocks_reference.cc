// The specification of quantize_blocks.h: plain loops that every back end must match bit for bit.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "kernels/quantize_blocks.h"
#include "kernels/quantize_grid.h"

namespace weft::kernels {
namespace {

constexpr size_t kBlockMax = 256;

// The differences of one block and the bits of the largest |delta|; bits order magnitudes as their
// values do, with infinities and NaN above all.
struct Deltas {
  float delta[kBlockMax];
  uint32_t magnitude[kBlockMax];
  uint32_t largest = 0;

  Deltas(const float* x, const float* base, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      delta[i] = x[i] - base[i];
      magnitude[i] = BitsOf(delta[i]) & 0x7fffffffu;
      largest = std::max(largest, magnitude[i]);
    }
  }
  bool beyond() const { return largest >= kBeyondBits; }
  size_t FirstBeyond() const {
    return std::find_if(magnitude, magnitude + kBlockMax,
                        [](uint32_t m) { return m >= kBeyondBits; }) -
           magnitude;
  }
};

// Scale and levels belong together as GridScale makes them.
BlockFault FaultOfLevels(uint32_t scale_bits, uint32_t dropped, int largest, int largest_allowed) {
  if (!IsGridScale(scale_bits, dropped)) return BlockFault::kScale;
  return largest == (scale_bits == 0 ? 0 : largest_allowed) ? BlockFault::kNone
                                                            : BlockFault::kLevel;
}

BlockFault FaultOfNibbles(uint32_t scale_bits, const uint8_t* nibbles, size_t n) {
  int largest = 0;
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(NibbleAt(nibbles, i)));
  const BlockFault fault = FaultOfLevels(scale_bits, kInt4Dropped, largest, kInt4Level);
  if (fault != BlockFault::kNone) return fault;
  return n % 2 == 1 && NibbleAt(nibbles, n) != 0 ? BlockFault::kPadding : BlockFault::kNone;
}

// The indices of the k largest, ascending, once those whose level is 0 have moved to the front.
void ChooseIndices(const Deltas& deltas, size_t n, size_t k, float inverse, uint8_t* indices) {
  uint8_t order[kTopkBlock];
  std::iota(order, order + n, uint8_t{0});
  std::stable_sort(order, order + n,
                   [&](uint8_t a, uint8_t b) { return deltas.magnitude[a] > deltas.magnitude[b]; });
  bool taken[kTopkBlock] = {};
  size_t left = k;
  for (size_t j = 0; j < k; ++j) {
    if (GridLevel(deltas.delta[order[j]], inverse) == 0) continue;
    taken[order[j]] = true;
    --left;
  }
  for (size_t i = 0; left > 0; ++i) {
    if (taken[i]) continue;
    taken[i] = true;
    --left;
  }
  for (size_t i = 0; i < n; ++i) {
    if (taken[i]) *indices++ = static_cast<uint8_t>(i);
  }
}

}  // namespace

BlockFault FaultOfInt8Block(const uint8_t* block, size_t n) {
  uint32_t scale_bits;
  std::memcpy(&scale_bits, block, sizeof scale_bits);
  int largest = 0;
  for (size_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::abs(static_cast<int8_t>(block[4 + i])));
  }
  return FaultOfLevels(scale_bits, kInt8Dropped, largest, kInt8Level);
}

BlockFault FaultOfInt4Block(const uint8_t* block, size_t n) {
  return FaultOfNibbles(Int4ScaleBits(block), block + 2, n);
}

BlockFault FaultOfTopkBlock(const uint8_t* block, size_t n, size_t kept) {
  const size_t k = std::min(kept, n);
  const uint8_t* indices = block + 2;
  for (size_t j = 0; j < k; ++j) {
    if (indices[j] >= n || (j > 0 && indices[j] <= indices[j - 1])) return BlockFault::kIndex;
    // Ascending from 0 on, the j-th index is j as long as none below it is free.
    if (NibbleAt(indices + k, j) == 0 && indices[j] != j) return BlockFault::kIndex;
  }
  return FaultOfNibbles(Int4ScaleBits(block), indices + k, k);
}

size_t DecodeTopkInt4(const uint8_t* bytes, const float* base, size_t n, size_t kept, float* x) {
  for (size_t begin = 0; begin < n; begin += kTopkBlock) {
    const size_t count = std::min(kTopkBlock, n - begin);
    const size_t k = std::min(kept, count);
    if (FaultOfTopkBlock(bytes, count, kept) != BlockFault::kNone) return begin;
    const float scale = FloatOf(Int4ScaleBits(bytes));
    if (x != base) std::memcpy(x + begin, base + begin, count * sizeof(float));
    for (size_t j = 0; j < k; ++j) {
      float& element = x[begin + bytes[2 + j]];
      element = AddLevel(element, NibbleAt(bytes + 2 + k, j), scale);
    }
    bytes += TopkBlockBytes(count, kept);
  }
  return n;
}

namespace reference {

size_t EncodeDeltaInt8(const float* x, const float* base, size_t n, uint8_t* bytes) {
  for (size_t begin = 0; begin < n; begin += kInt8Block) {
    const size_t count = std::min(kInt8Block, n - begin);
    const Deltas deltas(x + begin, base + begin, count);
    if (deltas.beyond()) return begin + deltas.FirstBeyond();
    const float scale = GridScale(FloatOf(deltas.largest), kInt8Level, kInt8Dropped);
    const float inverse = GridInverse(scale);
    std::memcpy(bytes, &scale, sizeof scale);
    for (size_t i = 0; i < count; ++i) {
      bytes[4 + i] = static_cast<uint8_t>(GridLevel(deltas.delta[i], inverse));
    }
    bytes += Int8BlockBytes(count);
  }
  return n;
}

size_t DecodeDeltaInt8(const uint8_t* bytes, const float* base, size_t n, float* x) {
  for (size_t begin = 0; begin < n; begin += kInt8Block) {
    const size_t count = std::min(kInt8Block, n - begin);
    if (FaultOfInt8Block(bytes, count) != BlockFault::kNone) return begin;
    float scale;
    std::memcpy(&scale, bytes, sizeof scale);
    for (size_t i = 0; i < count; ++i) {
      x[begin + i] = AddLevel(base[begin + i], static_cast<int8_t>(bytes[4 + i]), scale);
    }
    bytes += Int8BlockBytes(count);
  }
  return n;
}

size_t EncodeDeltaInt4(const float* x, const float* base, size_t n, uint8_t* bytes) {
  for (size_t begin = 0; begin < n; begin += kInt4Block) {
    const size_t count = std::min(kInt4Block, n - begin);
    const Deltas deltas(x + begin, base + begin, count);
    if (deltas.beyond()) return begin + deltas.FirstBeyond();
    const float scale = GridScale(FloatOf(deltas.largest), kInt4Level, kInt4Dropped);
    const float inverse = GridInverse(scale);
    int8_t levels[kInt4Block];
    for (size_t i = 0; i < count; ++i) {
      levels[i] = static_cast<int8_t>(GridLevel(deltas.delta[i], inverse));
    }
    PutInt4Scale(scale, bytes);
    PutNibbles(levels, count, bytes + 2);
    bytes += Int4BlockBytes(count);
  }
  return n;
}

size_t DecodeDeltaInt4(const uint8_t* bytes, const float* base, size_t n, float* x) {
  for (size_t begin = 0; begin < n; begin += kInt4Block) {
    const size_t count = std::min(kInt4Block, n - begin);
    if (FaultOfInt4Block(bytes, count) != BlockFault::kNone) return begin;
    const float scale = FloatOf(Int4ScaleBits(bytes));
    for (size_t i = 0; i < count; ++i) {
      x[begin + i] = AddLevel(base[begin + i], NibbleAt(bytes + 2, i), scale);
    }
    bytes += Int4BlockBytes(count);
  }
  return n;
}

size_t EncodeTopkInt4(const float* x, const float* base, size_t n, size_t kept, uint8_t* bytes) {
  for (size_t begin = 0; begin < n; begin += kTopkBlock) {
    const size_t count = std::min(kTopkBlock, n - begin);
    const size_t k = std::min(kept, count);
    const Deltas deltas(x + begin, base + begin, count);
    if (deltas.beyond()) return begin + deltas.FirstBeyond();
    const float scale = GridScale(FloatOf(deltas.largest), kInt4Level, kInt4Dropped);
    const float inverse = GridInverse(scale);
    uint8_t* indices = bytes + 2;
    ChooseIndices(deltas, count, k, inverse, indices);
    int8_t levels[kTopkKeptMax];
    for (size_t j = 0; j < k; ++j) {
      // One that filled a free place is no larger than one whose level is 0, so its own is 0 too.
      levels[j] = static_cast<int8_t>(GridLevel(deltas.delta[indices[j]], inverse));
    }
    PutInt4Scale(scale, bytes);
    PutNibbles(levels, k, indices + k);
    bytes += TopkBlockBytes(count, kept);
  }
  return n;
}

}  // namespace reference
}  // namespace weft::kernels
