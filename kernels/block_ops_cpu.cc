// block_ops.h with portable SIMD: compiled once for each instruction set, chosen at run time.
#include <algorithm>
#include <cmath>

#include "kernels/block_ops.h"
#include "kernels/highway_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/block_ops_cpu.cc"
// clang-format off: foreach_target.h comes first, then what is compiled for each set.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace weft::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// f(tag, i) for whole vectors from element i on, then for single elements.
template <class F>
HWY_INLINE void ForEach(size_t n, const F& f) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) f(d, i);
  for (; i < n; ++i) f(one, i);
}

// The sum of what f(tag, i) returns.
template <class F>
HWY_INLINE float Sum(size_t n, const F& f) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  auto sums = hn::Zero(d);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) sums = hn::Add(sums, f(d, i));
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < n; ++i) sum += hn::GetLane(f(one, i));
  return sum;
}

HWY_INLINE float Inverse(const float* x, size_t width, float epsilon) {
  const float squares = Sum(width, [x](auto d, size_t i) {
    const auto value = hn::LoadU(d, x + i);
    return hn::Mul(value, value);
  });
  return 1 / std::sqrt(squares / static_cast<float>(width) + epsilon);
}

void RmsNorm(const float* x, const float* weight, size_t rows, size_t width, float epsilon,
             float* y, float* inverse) {
  for (size_t r = 0; r < rows; ++r, x += width, y += width) {
    const float by = inverse[r] = Inverse(x, width, epsilon);
    ForEach(width, [=](auto d, size_t i) {
      const auto normed = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, by));
      hn::StoreU(hn::Mul(normed, hn::LoadU(d, weight + i)), d, y + i);
    });
  }
}

// dy may be dx.
HWY_INLINE void NormRowBackward(const float* x, const float* weight, float by, const float* dy,
                                size_t width, float* dx, float* dweight) {
  const float mean = by / static_cast<float>(width) * Sum(width, [=](auto d, size_t i) {
                       return hn::Mul(hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i)),
                                      hn::LoadU(d, x + i));
                     });
  ForEach(width, [=](auto d, size_t i) {
    const auto factor = hn::Set(d, by), g = hn::LoadU(d, dy + i);
    const auto n = hn::Mul(hn::LoadU(d, x + i), factor);
    const auto own = hn::Mul(g, hn::LoadU(d, weight + i));
    hn::StoreU(hn::MulAdd(g, n, hn::LoadU(d, dweight + i)), d, dweight + i);
    hn::StoreU(hn::Mul(factor, hn::NegMulAdd(n, hn::Set(d, mean), own)), d, dx + i);
  });
}

void RmsNormBackward(const float* x, const float* weight, const float* inverse, const float* dy,
                     size_t rows, size_t width, float* dx, float* dweight) {
  for (size_t r = 0; r < rows; ++r, x += width, dy += width, dx += width) {
    NormRowBackward(x, weight, inverse[r], dy, width, dx, dweight);
  }
}

void NormAndRotate(const float* x, const float* q_weight, const float* k_weight,
                   const float* cosine, const float* sine, size_t tokens, const HeadLayout& layout,
                   float* y, float* inverse) {
  const size_t width = layout.width, half = width / 2;
  for (size_t t = 0; t < tokens; ++t, cosine += half, sine += half) {
    for (size_t h = 0; h < layout.rotated(); ++h, x += width, y += width) {
      const float* weight = h < layout.query_heads ? q_weight : k_weight;
      float by = 1;
      if (weight != nullptr) by = *inverse++ = Inverse(x, width, layout.epsilon);
      ForEach(half, [=](auto d, size_t i) {
        auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i);
        if (weight != nullptr) {
          a = hn::Mul(hn::Mul(a, hn::Set(d, by)), hn::LoadU(d, weight + i));
          b = hn::Mul(hn::Mul(b, hn::Set(d, by)), hn::LoadU(d, weight + half + i));
        }
        const auto c = hn::LoadU(d, cosine + i), s = hn::LoadU(d, sine + i);
        hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, y + i);
        hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, y + half + i);
      });
    }
    const size_t values = layout.key_heads * width;
    std::copy(x, x + values, y);
    x += values;
    y += values;
  }
}

void NormAndRotateBackward(const float* x, const float* q_weight, const float* k_weight,
                           const float* inverse, const float* cosine, const float* sine,
                           const float* dy, size_t tokens, const HeadLayout& layout, float* dx,
                           float* dq_weight, float* dk_weight) {
  const size_t width = layout.width, half = width / 2;
  for (size_t t = 0; t < tokens; ++t, cosine += half, sine += half) {
    for (size_t h = 0; h < layout.rotated(); ++h, x += width, dy += width, dx += width) {
      ForEach(half, [=](auto d, size_t i) {  // the turn backwards
        const auto a = hn::LoadU(d, dy + i), b = hn::LoadU(d, dy + half + i);
        const auto c = hn::LoadU(d, cosine + i), s = hn::LoadU(d, sine + i);
        hn::StoreU(hn::Add(hn::Mul(a, c), hn::Mul(b, s)), d, dx + i);
        hn::StoreU(hn::Sub(hn::Mul(b, c), hn::Mul(a, s)), d, dx + half + i);
      });
      const bool query = h < layout.query_heads;
      const float* weight = query ? q_weight : k_weight;
      if (weight != nullptr) {
        NormRowBackward(x, weight, *inverse++, dx, width, dx, query ? dq_weight : dk_weight);
      }
    }
    const size_t values = layout.key_heads * width;
    std::copy(dy, dy + values, dx);
    x += values;
    dy += values;
    dx += values;
  }
}

// 1 / (1 + exp(-x)); the bound keeps exp finite and changes nothing: the result there is below
// 1e-37.
template <class D, class V>
HWY_INLINE V Sigmoid(D d, V x) {
  const auto one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Min(hn::Neg(x), hn::Set(d, 87.0f)))));
}

void SwiGlu(const float* gate_up, size_t rows, size_t width, float* y) {
  for (size_t r = 0; r < rows; ++r, gate_up += 2 * width, y += width) {
    ForEach(width, [=](auto d, size_t i) {
      const auto gate = hn::LoadU(d, gate_up + i);
      const auto silu = hn::Mul(gate, Sigmoid(d, gate));
      hn::StoreU(hn::Mul(silu, hn::LoadU(d, gate_up + width + i)), d, y + i);
    });
  }
}

void SwiGluBackward(const float* gate_up, const float* dy, size_t rows, size_t width,
                    float* dgate_up) {
  for (size_t r = 0; r < rows; ++r, gate_up += 2 * width, dgate_up += 2 * width, dy += width) {
    ForEach(width, [=](auto d, size_t i) {
      const auto gate = hn::LoadU(d, gate_up + i), up = hn::LoadU(d, gate_up + width + i);
      const auto g = hn::LoadU(d, dy + i), one = hn::Set(d, 1.0f);
      const auto sigmoid = Sigmoid(d, gate);
      const auto slope = hn::Mul(sigmoid, hn::MulAdd(gate, hn::Sub(one, sigmoid), one));
      hn::StoreU(hn::Mul(hn::Mul(g, up), slope), d, dgate_up + i);
      hn::StoreU(hn::Mul(g, hn::Mul(gate, sigmoid)), d, dgate_up + width + i);
    });
  }
}

double CrossEntropy(float* logits, const int64_t* targets, size_t rows, size_t width, float scale) {
  const hn::ScalableTag<float> d;
  double loss = 0;
  for (size_t r = 0; r < rows; ++r, logits += width) {
    auto tops = hn::Set(d, logits[0]);
    size_t i = 0;
    for (; i + hn::Lanes(d) <= width; i += hn::Lanes(d)) {
      tops = hn::Max(tops, hn::LoadU(d, logits + i));
    }
    float largest = hn::GetLane(hn::MaxOfLanes(d, tops));
    for (; i < width; ++i) largest = std::max(largest, logits[i]);
    const float wanted = logits[targets[r]];
    const float sum = Sum(width, [=](auto tag, size_t k) {
      const auto e = hn::Exp(tag, hn::Sub(hn::LoadU(tag, logits + k), hn::Set(tag, largest)));
      hn::StoreU(e, tag, logits + k);
      return e;
    });
    loss += std::log(double{sum}) + largest - wanted;
    const float factor = scale / sum;
    ForEach(width, [=](auto tag, size_t k) {
      hn::StoreU(hn::Mul(hn::LoadU(tag, logits + k), hn::Set(tag, factor)), tag, logits + k);
    });
    logits[targets[r]] -= scale;
  }
  return loss;
}

}  // namespace HWY_NAMESPACE
}  // namespace weft::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weft::kernels {

HWY_EXPORT(RmsNorm);
HWY_EXPORT(RmsNormBackward);
HWY_EXPORT(NormAndRotate);
HWY_EXPORT(NormAndRotateBackward);
HWY_EXPORT(SwiGlu);
HWY_EXPORT(SwiGluBackward);
HWY_EXPORT(CrossEntropy);

void RmsNorm(const float* x, const float* weight, size_t rows, size_t width, float epsilon,
             float* y, float* inverse) {
  HWY_DYNAMIC_DISPATCH(RmsNorm)(x, weight, rows, width, epsilon, y, inverse);
}
void RmsNormBackward(const float* x, const float* weight, const float* inverse, const float* dy,
                     size_t rows, size_t width, float* dx, float* dweight) {
  HWY_DYNAMIC_DISPATCH(RmsNormBackward)(x, weight, inverse, dy, rows, width, dx, dweight);
}
void NormAndRotate(const float* x, const float* q_weight, const float* k_weight,
                   const float* cosine, const float* sine, size_t tokens, const HeadLayout& layout,
                   float* y, float* inverse) {
  HWY_DYNAMIC_DISPATCH(NormAndRotate)
  (x, q_weight, k_weight, cosine, sine, tokens, layout, y, inverse);
}
void NormAndRotateBackward(const float* x, const float* q_weight, const float* k_weight,
                           const float* inverse, const float* cosine, const float* sine,
                           const float* dy, size_t tokens, const HeadLayout& layout, float* dx,
                           float* dq_weight, float* dk_weight) {
  HWY_DYNAMIC_DISPATCH(NormAndRotateBackward)
  (x, q_weight, k_weight, inverse, cosine, sine, dy, tokens, layout, dx, dq_weight, dk_weight);
}
void SwiGlu(const float* gate_up, size_t rows, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(SwiGlu)(gate_up, rows, width, y);
}
void SwiGluBackward(const float* gate_up, const float* dy, size_t rows, size_t width,
                    float* dgate_up) {
  HWY_DYNAMIC_DISPATCH(SwiGluBackward)(gate_up, dy, rows, width, dgate_up);
}
double CrossEntropy(float* logits, const int64_t* targets, size_t rows, size_t width, float scale) {
  return HWY_DYNAMIC_DISPATCH(CrossEntropy)(logits, targets, rows, width, scale);
}

}  // namespace weft::kernels
#endif
