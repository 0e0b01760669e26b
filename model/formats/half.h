// The two 16-bit floating-point types that other people's checkpoints come in (IEEE 754 binary16,
// bfloat16), widened to fp32, which holds every value of both exactly.
#ifndef WEFT_MODEL_FORMATS_HALF_H_
#define WEFT_MODEL_FORMATS_HALF_H_

#include <bit>
#include <cstdint>

namespace weft {

inline float FloatFromBf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline float FloatFromFp16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1f;
  const uint32_t fraction = bits & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000 | (fraction << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  // Zero and subnormals: fraction x 2^-24.
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

}  // namespace weft

#endif  // WEFT_MODEL_FORMATS_HALF_H_
