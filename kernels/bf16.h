// One number from fp32 to bf16 and back: rounded to nearest, ties to even; NaN stays NaN (made
// quiet, so that a payload in the low half is not lost by becoming an infinity). Pure.
//
//   uint16_t half = FloatToBf16(1.0f);   // 0x3f80
#ifndef WEFT_KERNELS_BF16_H_
#define WEFT_KERNELS_BF16_H_

#include <cstdint>
#include <cstring>

// Compiled for the device too, where the compiler knows of one.
#ifdef __CUDACC__
#define WEFT_HOST_DEVICE __host__ __device__
#else
#define WEFT_HOST_DEVICE
#endif

namespace weft::kernels {

WEFT_HOST_DEVICE inline uint16_t FloatToBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

WEFT_HOST_DEVICE inline float Bf16ToFloat(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace weft::kernels

#endif  // WEFT_KERNELS_BF16_H_
