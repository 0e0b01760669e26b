// The encodings' rounding once more, by plain loops (kernels/quantize_blocks.h says what it is).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "tests/simulation/recompute.h"

namespace weft::simulation {
namespace {

// Adds to the bits of a positive number, then clears its low ones.
float WithBits(float value, uint32_t add, uint32_t clear) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  bits = (bits + add) & ~clear;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// To the nearest bf16, ties to even.
float RoundToBf16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return WithBits(value, 0x7fff + ((bits >> 16) & 1), 0xffff);
}

// The elements of a block that travel: all, or so many of the largest changes.
std::vector<size_t> Travelling(VectorFormat format, const std::vector<float>& change) {
  std::vector<size_t> order(change.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (format.encoding != Encoding::kTopkInt4) return order;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return std::fabs(change[a]) > std::fabs(change[b]); });
  order.resize(std::min<size_t>(order.size(), format.kept));
  return order;
}

void RoundBlock(VectorFormat format, const float* z, size_t count, float* next) {
  std::vector<float> change(count);
  float largest = 0;
  for (size_t i = 0; i < count; ++i) {
    change[i] = next[i] - z[i];
    largest = std::max(largest, std::fabs(change[i]));
    next[i] = z[i];
  }
  const bool int8 = format.encoding == Encoding::kDeltaInt8;
  const uint32_t dropped = int8 ? 0x7f : 0xffff;  // bits that a scale does not keep
  const float exact = largest / (int8 ? 127.0f : 7.0f);
  if (exact < 0x1p-126f) return;
  const float scale = WithBits(exact, dropped, dropped);
  for (const size_t i : Travelling(format, change)) {
    const float level = std::nearbyint(change[i] * (1.0f / scale));
    if (level != 0) next[i] = z[i] + level * scale;
  }
}

}  // namespace

void PlainRounding(VectorFormat format, const Vector& z, Vector* next) {
  if (format.encoding == Encoding::kDeltaBf16) {
    for (size_t i = 0; i < z.size(); ++i) (*next)[i] = z[i] + RoundToBf16((*next)[i] - z[i]);
    return;
  }
  const size_t block = format.encoding == Encoding::kDeltaInt4 ? 64 : 256;
  for (size_t begin = 0; begin < z.size(); begin += block) {
    RoundBlock(format, &z[begin], std::min(block, z.size() - begin), &(*next)[begin]);
  }
}

}  // namespace weft::simulation
