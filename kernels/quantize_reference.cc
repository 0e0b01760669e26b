// The specification of quantize.h: plain loops that every back end must match bit for bit.
#include "kernels/bf16.h"
#include "kernels/quantize.h"

namespace weft::kernels::reference {

void EncodeDeltaBf16(const float* x, const float* base, size_t n, uint16_t* delta) {
  for (size_t i = 0; i < n; ++i) delta[i] = FloatToBf16(x[i] - base[i]);
}

void DecodeDeltaBf16(const uint16_t* delta, const float* base, size_t n, float* x) {
  for (size_t i = 0; i < n; ++i) x[i] = base[i] + Bf16ToFloat(delta[i]);
}

}  // namespace weft::kernels::reference
