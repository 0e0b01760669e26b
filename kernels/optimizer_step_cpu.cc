// optimizer_step.h with portable SIMD: compiled once for each instruction set, chosen at run time.
#include "kernels/adamw_constants.h"
#include "kernels/highway_targets.h"
#include "kernels/optimizer_step.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optimizer_step_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace weft::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Multiplications and additions stay apart (no MulAdd): a fused one rounds once, the reference
// twice.
void AdamW(const AdamWStep& options, const float* HWY_RESTRICT gradient,
           const float* HWY_RESTRICT base, size_t n, float* HWY_RESTRICT w, float* HWY_RESTRICT m,
           float* HWY_RESTRICT v) {
  const AdamWConstants c = ComputeAdamWConstants(options);
  const bool pulled = options.rho != 0;
  const hn::ScalableTag<float> f;
  const size_t width = hn::Lanes(f);
  const auto all = [f](float value) { return hn::Set(f, value); };
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const auto g = hn::Mul(hn::LoadU(f, gradient + i), all(c.gradient_scale));
    const auto mean =
        hn::Add(hn::Mul(all(c.beta1), hn::LoadU(f, m + i)), hn::Mul(all(c.one_minus_beta1), g));
    const auto square = hn::Add(hn::Mul(all(c.beta2), hn::LoadU(f, v + i)),
                                hn::Mul(all(c.one_minus_beta2), hn::Mul(g, g)));
    hn::StoreU(mean, f, m + i);
    hn::StoreU(square, f, v + i);
    const auto direction =
        hn::Div(hn::Div(mean, all(c.bias1)),
                hn::Add(hn::Sqrt(hn::Div(square, all(c.bias2))), all(c.epsilon)));
    const auto old = hn::LoadU(f, w + i);
    auto u = hn::Sub(
        old, hn::Mul(all(c.learning_rate), hn::Add(direction, hn::Mul(all(c.weight_decay), old))));
    if (pulled) {
      u = hn::Div(hn::Add(u, hn::Mul(all(c.pull), hn::LoadU(f, base + i))), all(c.one_plus_pull));
    }
    hn::StoreU(u, f, w + i);
  }
  reference::AdamW(options, gradient + i, pulled ? base + i : nullptr, n - i, w + i, m + i, v + i);
}

void Sgd(const SgdStep& options, const float* HWY_RESTRICT gradient, const float* HWY_RESTRICT base,
         size_t n, float* HWY_RESTRICT w) {
  const bool pulled = options.rho != 0;
  const float pull = options.learning_rate * options.rho;
  const float one_plus_pull = 1.0f + pull;
  const hn::ScalableTag<float> f;
  const size_t width = hn::Lanes(f);
  const auto all = [f](float value) { return hn::Set(f, value); };
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const auto g = hn::Mul(hn::LoadU(f, gradient + i), all(options.gradient_scale));
    const auto old = hn::LoadU(f, w + i);
    const auto direction = hn::Add(g, hn::Mul(all(options.weight_decay), old));
    auto u = hn::Sub(old, hn::Mul(all(options.learning_rate), direction));
    if (pulled) {
      u = hn::Div(hn::Add(u, hn::Mul(all(pull), hn::LoadU(f, base + i))), all(one_plus_pull));
    }
    hn::StoreU(u, f, w + i);
  }
  reference::Sgd(options, gradient + i, pulled ? base + i : nullptr, n - i, w + i);
}

void AddPull(float rho, const float* HWY_RESTRICT w, const float* HWY_RESTRICT base, size_t n,
             float* HWY_RESTRICT gradient) {
  const hn::ScalableTag<float> f;
  const size_t width = hn::Lanes(f);
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const auto way = hn::Sub(hn::LoadU(f, w + i), hn::LoadU(f, base + i));
    const auto g = hn::LoadU(f, gradient + i);
    hn::StoreU(hn::Add(g, hn::Mul(hn::Set(f, rho), way)), f, gradient + i);
  }
  reference::AddPull(rho, w + i, base + i, n - i, gradient + i);
}

}  // namespace HWY_NAMESPACE
}  // namespace weft::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weft::kernels {

HWY_EXPORT(AdamW);
HWY_EXPORT(Sgd);
HWY_EXPORT(AddPull);

void AdamW(const AdamWStep& options, const float* gradient, const float* base, size_t n, float* w,
           float* m, float* v) {
  HWY_DYNAMIC_DISPATCH(AdamW)(options, gradient, base, n, w, m, v);
}

void Sgd(const SgdStep& options, const float* gradient, const float* base, size_t n, float* w) {
  HWY_DYNAMIC_DISPATCH(Sgd)(options, gradient, base, n, w);
}

void AddPull(float rho, const float* w, const float* base, size_t n, float* gradient) {
  HWY_DYNAMIC_DISPATCH(AddPull)(rho, w, base, n, gradient);
}

}  // namespace weft::kernels
#endif
