// Conversions between fp32 and the shorter forms that travel. bf16 is rounded to nearest, ties to
// even; NaN stays NaN. Every back end gives the same bits.
#ifndef WEFT_KERNELS_QUANTIZE_H_
#define WEFT_KERNELS_QUANTIZE_H_

#include <cstddef>
#include <cstdint>

namespace weft::kernels {

// delta[i] = bf16(x[i] - base[i])
void EncodeDeltaBf16(const float* x, const float* base, size_t n, uint16_t* delta);
// x[i] = base[i] + fp32(delta[i]); x may be base.
void DecodeDeltaBf16(const uint16_t* delta, const float* base, size_t n, float* x);

namespace reference {
void EncodeDeltaBf16(const float* x, const float* base, size_t n, uint16_t* delta);
void DecodeDeltaBf16(const uint16_t* delta, const float* base, size_t n, float* x);
}  // namespace reference

}  // namespace weft::kernels

#endif  // WEFT_KERNELS_QUANTIZE_H_
