// vector_ops.h with portable SIMD: compiled once for each instruction set, chosen at run time.
#include "kernels/vector_ops.h"

// Scalable vectors cannot be kept in an array of accumulators; the fixed-size sets serve those
// machines too.
#include "kernels/highway_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/vector_ops_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace weft::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most eight doubles, so that the eight lanes of a sum are a whole number of vectors.
using Doubles = hn::CappedTag<double, 8>;
using HalfFloats = hn::Rebind<float, Doubles>;

void AccumulateWeighted(double weight, const float* HWY_RESTRICT x, size_t n,
                        double* HWY_RESTRICT sum) {
  const Doubles d;
  const HalfFloats f;
  const size_t width = hn::Lanes(d);
  const auto w = hn::Set(d, weight);
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const auto product = hn::Mul(w, hn::PromoteTo(d, hn::LoadU(f, x + i)));
    hn::StoreU(hn::Add(hn::LoadU(d, sum + i), product), d, sum + i);
  }
  for (; i < n; ++i) sum[i] += weight * static_cast<double>(x[i]);
}

double SquaredDistance(const float* x, const float* y, size_t n) {
  const Doubles d;
  const HalfFloats f;
  constexpr size_t kWidth = hn::MaxLanes(Doubles());
  constexpr size_t kVectors = 8 / kWidth;
  hn::Vec<Doubles> sums[kVectors];
  for (size_t k = 0; k < kVectors; ++k) sums[k] = hn::Zero(d);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t k = 0; k < kVectors; ++k) {
      auto difference = hn::PromoteTo(d, hn::LoadU(f, x + i + k * kWidth));
      if (y != nullptr) {
        difference = hn::Sub(difference, hn::PromoteTo(d, hn::LoadU(f, y + i + k * kWidth)));
      }
      sums[k] = hn::Add(sums[k], hn::Mul(difference, difference));
    }
  }
  double lane[8];
  for (size_t k = 0; k < kVectors; ++k) hn::StoreU(sums[k], d, lane + k * kWidth);
  for (; i < n; ++i) {
    const double rest =
        static_cast<double>(x[i]) - (y == nullptr ? 0.0 : static_cast<double>(y[i]));
    lane[i % 8] += rest * rest;
  }
  return SumOfLanes(lane);
}

size_t FirstNotFinite(const float* x, size_t n) {
  const hn::ScalableTag<float> f;
  const hn::RebindToUnsigned<decltype(f)> u;
  const size_t width = hn::Lanes(f);
  const auto exponent = hn::Set(u, 0x7f800000u);
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const auto bits = hn::BitCast(u, hn::LoadU(f, x + i));
    const intptr_t first = hn::FindFirstTrue(u, hn::Eq(hn::And(bits, exponent), exponent));
    if (first >= 0) return i + static_cast<size_t>(first);
  }
  return i + reference::FirstNotFinite(x + i, n - i);
}

void Scale(float factor, float* x, size_t n) {
  const hn::ScalableTag<float> f;
  const size_t width = hn::Lanes(f);
  const auto by = hn::Set(f, factor);
  size_t i = 0;
  for (; i + width <= n; i += width) hn::StoreU(hn::Mul(hn::LoadU(f, x + i), by), f, x + i);
  for (; i < n; ++i) x[i] *= factor;
}

void Difference(const float* x, const float* y, size_t n, double* HWY_RESTRICT difference) {
  const Doubles d;
  const HalfFloats f;
  const size_t width = hn::Lanes(d);
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const auto a = hn::PromoteTo(d, hn::LoadU(f, x + i));
    hn::StoreU(hn::Sub(a, hn::PromoteTo(d, hn::LoadU(f, y + i))), d, difference + i);
  }
  reference::Difference(x + i, y + i, n - i, difference + i);
}

void AccumulateDot(const double* x, const double* y, size_t n, double* lane) {
  const Doubles d;
  constexpr size_t kWidth = hn::MaxLanes(Doubles());
  constexpr size_t kVectors = 8 / kWidth;
  hn::Vec<Doubles> sums[kVectors];
  for (size_t k = 0; k < kVectors; ++k) sums[k] = hn::LoadU(d, lane + k * kWidth);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t k = 0; k < kVectors; ++k) {
      const auto product =
          hn::Mul(hn::LoadU(d, x + i + k * kWidth), hn::LoadU(d, y + i + k * kWidth));
      sums[k] = hn::Add(sums[k], product);
    }
  }
  for (size_t k = 0; k < kVectors; ++k) hn::StoreU(sums[k], d, lane + k * kWidth);
  for (; i < n; ++i) lane[i % 8] += x[i] * y[i];
}

void CompareExchange(double* HWY_RESTRICT low, double* HWY_RESTRICT high, size_t n) {
  const hn::ScalableTag<double> d;
  const size_t width = hn::Lanes(d);
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const auto a = hn::LoadU(d, low + i), b = hn::LoadU(d, high + i);
    const auto swap = hn::Lt(b, a);
    hn::StoreU(hn::IfThenElse(swap, b, a), d, low + i);
    hn::StoreU(hn::IfThenElse(swap, a, b), d, high + i);
  }
  reference::CompareExchange(low + i, high + i, n - i);
}

}  // namespace HWY_NAMESPACE
}  // namespace weft::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weft::kernels {

HWY_EXPORT(AccumulateWeighted);
HWY_EXPORT(SquaredDistance);
HWY_EXPORT(FirstNotFinite);
HWY_EXPORT(Scale);
HWY_EXPORT(Difference);
HWY_EXPORT(AccumulateDot);
HWY_EXPORT(CompareExchange);

void AccumulateWeighted(double weight, const float* x, size_t n, double* sum) {
  HWY_DYNAMIC_DISPATCH(AccumulateWeighted)(weight, x, n, sum);
}
double SquaredDistance(const float* x, const float* y, size_t n) {
  return HWY_DYNAMIC_DISPATCH(SquaredDistance)(x, y, n);
}
size_t FirstNotFinite(const float* x, size_t n) {
  return HWY_DYNAMIC_DISPATCH(FirstNotFinite)(x, n);
}
void Scale(float factor, float* x, size_t n) { HWY_DYNAMIC_DISPATCH(Scale)(factor, x, n); }
void Difference(const float* x, const float* y, size_t n, double* difference) {
  HWY_DYNAMIC_DISPATCH(Difference)(x, y, n, difference);
}
void AccumulateDot(const double* x, const double* y, size_t n, double* lane) {
  HWY_DYNAMIC_DISPATCH(AccumulateDot)(x, y, n, lane);
}
void CompareExchange(double* low, double* high, size_t n) {
  HWY_DYNAMIC_DISPATCH(CompareExchange)(low, high, n);
}

}  // namespace weft::kernels
#endif
