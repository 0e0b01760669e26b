// quantize.h with portable SIMD: compiled once for each instruction set, chosen at run time.
#include "kernels/highway_targets.h"
#include "kernels/quantize.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace weft::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void EncodeDeltaBf16(const float* x, const float* base, size_t n, uint16_t* delta) {
  const hn::ScalableTag<float> f;
  const hn::RebindToUnsigned<decltype(f)> u32;
  const hn::Rebind<uint16_t, decltype(f)> u16;
  const size_t width = hn::Lanes(f);
  const auto infinity = hn::Set(u32, 0x7f800000u);
  const auto magnitude = hn::Set(u32, 0x7fffffffu);
  const auto quiet = hn::Set(u32, 0x00400000u);
  const auto below_half = hn::Set(u32, 0x7fffu);
  const auto one = hn::Set(u32, 1u);
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const auto bits = hn::BitCast(u32, hn::Sub(hn::LoadU(f, x + i), hn::LoadU(f, base + i)));
    const auto odd = hn::And(hn::ShiftRight<16>(bits), one);
    const auto rounded = hn::Add(hn::Add(bits, below_half), odd);
    const auto is_nan = hn::Gt(hn::And(bits, magnitude), infinity);
    const auto kept = hn::IfThenElse(is_nan, hn::Or(bits, quiet), rounded);
    hn::StoreU(hn::TruncateTo(u16, hn::ShiftRight<16>(kept)), u16, delta + i);
  }
  reference::EncodeDeltaBf16(x + i, base + i, n - i, delta + i);
}

void DecodeDeltaBf16(const uint16_t* delta, const float* base, size_t n, float* x) {
  const hn::ScalableTag<float> f;
  const hn::RebindToUnsigned<decltype(f)> u32;
  const hn::Rebind<uint16_t, decltype(f)> u16;
  const size_t width = hn::Lanes(f);
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(u32, hn::LoadU(u16, delta + i)));
    hn::StoreU(hn::Add(hn::LoadU(f, base + i), hn::BitCast(f, bits)), f, x + i);
  }
  reference::DecodeDeltaBf16(delta + i, base + i, n - i, x + i);
}

}  // namespace HWY_NAMESPACE
}  // namespace weft::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weft::kernels {

HWY_EXPORT(EncodeDeltaBf16);
HWY_EXPORT(DecodeDeltaBf16);

void EncodeDeltaBf16(const float* x, const float* base, size_t n, uint16_t* delta) {
  HWY_DYNAMIC_DISPATCH(EncodeDeltaBf16)(x, base, n, delta);
}
void DecodeDeltaBf16(const uint16_t* delta, const float* base, size_t n, float* x) {
  HWY_DYNAMIC_DISPATCH(DecodeDeltaBf16)(delta, base, n, x);
}

}  // namespace weft::kernels
#endif
