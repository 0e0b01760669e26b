// Every back end of block_ops against the reference, within rounding, and the reference's backward
// passes against differences of its forward passes.
#include "kernels/block_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/kernels/back_ends.h"

namespace weft::kernels {
namespace {

using testing::ForEachInstructionSet;
using Floats = std::vector<float>;

Floats Numbers(size_t n, uint32_t seed, float scale = 2) {
  std::mt19937 random(seed);
  Floats numbers(n);
  for (float& x : numbers) x = scale * (static_cast<float>(random() >> 8) / 8388608.0f - 1.0f);
  return numbers;
}

void ExpectClose(const Floats& got, const Floats& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], 2e-5f * (1 + std::abs(want[i]))) << "element " << i;
  }
}

constexpr size_t kRows = 5;

TEST(RmsNorm, AgreesWithReference) {
  ForEachInstructionSet([] {
    for (const size_t width : {1, 3, 16, 24, 31, 128, 257}) {
      const size_t n = kRows * width;
      const Floats x = Numbers(n, 1), weight = Numbers(width, 2), dy = Numbers(n, 3);
      Floats y(n), inverse(kRows), dx(n), dw = Numbers(width, 4);
      Floats y2(n), inverse2(kRows), dx2(n), dw2 = dw;
      RmsNorm(x.data(), weight.data(), kRows, width, 1e-6f, y.data(), inverse.data());
      reference::RmsNorm(x.data(), weight.data(), kRows, width, 1e-6f, y2.data(), inverse2.data());
      ExpectClose(y, y2);
      ExpectClose(inverse, inverse2);
      RmsNormBackward(x.data(), weight.data(), inverse2.data(), dy.data(), kRows, width, dx.data(),
                      dw.data());
      reference::RmsNormBackward(x.data(), weight.data(), inverse2.data(), dy.data(), kRows, width,
                                 dx2.data(), dw2.data());
      ExpectClose(dx, dx2);
      ExpectClose(dw, dw2);
    }
  });
}

TEST(NormAndRotate, AgreesWithReference) {
  ForEachInstructionSet([] {
    for (const size_t width : {2, 6, 24, 32, 64, 128}) {
      for (const bool normed : {true, false}) {
        const HeadLayout layout{.query_heads = 4, .key_heads = 2, .width = width, .epsilon = 1e-6f};
        const size_t n = kRows * layout.all() * width;
        const Floats x = Numbers(n, 1), dy = Numbers(n, 2);
        const Floats cosine = Numbers(kRows * width / 2, 3, 1),
                     sine = Numbers(kRows * width / 2, 4, 1);
        const Floats q = Numbers(width, 5), k = Numbers(width, 6);
        const float *qw = normed ? q.data() : nullptr, *kw = normed ? k.data() : nullptr;
        Floats y(n), inverse(kRows * 6), dx(n), dq(width), dk(width);
        Floats y2(n), inverse2(kRows * 6), dx2(n), dq2(width), dk2(width);
        NormAndRotate(x.data(), qw, kw, cosine.data(), sine.data(), kRows, layout, y.data(),
                      inverse.data());
        reference::NormAndRotate(x.data(), qw, kw, cosine.data(), sine.data(), kRows, layout,
                                 y2.data(), inverse2.data());
        ExpectClose(y, y2);
        ExpectClose(inverse, inverse2);
        NormAndRotateBackward(x.data(), qw, kw, inverse2.data(), cosine.data(), sine.data(),
                              dy.data(), kRows, layout, dx.data(), dq.data(), dk.data());
        reference::NormAndRotateBackward(x.data(), qw, kw, inverse2.data(), cosine.data(),
                                         sine.data(), dy.data(), kRows, layout, dx2.data(),
                                         dq2.data(), dk2.data());
        ExpectClose(dx, dx2);
        ExpectClose(dq, dq2);
        ExpectClose(dk, dk2);
      }
    }
  });
}

TEST(SwiGlu, AgreesWithReferenceAndSaturates) {
  ForEachInstructionSet([] {
    for (const size_t width : {1, 7, 16, 80, 384}) {
      Floats gate_up = Numbers(kRows * 2 * width, 1, 10);
      gate_up[0] = -300;  // exp(300) is no float
      gate_up[2 * width] = 300;
      const Floats dy = Numbers(kRows * width, 2);
      Floats y(kRows * width), d(gate_up.size()), y2(y), d2(d);
      SwiGlu(gate_up.data(), kRows, width, y.data());
      reference::SwiGlu(gate_up.data(), kRows, width, y2.data());
      ExpectClose(y, y2);
      SwiGluBackward(gate_up.data(), dy.data(), kRows, width, d.data());
      reference::SwiGluBackward(gate_up.data(), dy.data(), kRows, width, d2.data());
      ExpectClose(d, d2);
    }
  });
}

TEST(CrossEntropy, AgreesWithReference) {
  ForEachInstructionSet([] {
    for (const size_t width : {1, 5, 128, 1000}) {
      Floats logits = Numbers(kRows * width, 1, 30), logits2 = logits;
      std::vector<int64_t> targets;
      for (size_t r = 0; r < kRows; ++r) targets.push_back(static_cast<int64_t>((7 * r) % width));
      const double loss = CrossEntropy(logits.data(), targets.data(), kRows, width, 0.25f);
      const double want =
          reference::CrossEntropy(logits2.data(), targets.data(), kRows, width, 0.25f);
      EXPECT_NEAR(loss, want, 1e-5 * (1 + want));
      ExpectClose(logits, logits2);
    }
  });
}

// d(sum of y dy) / dx_i by differences, against the reference's dx.
void ExpectSlopes(const std::function<Floats(const Floats&)>& forward, const Floats& at,
                  const Floats& dy, const Floats& dx) {
  const float step = 1e-2f;
  for (size_t i = 0; i < at.size(); ++i) {
    Floats ahead = at, behind = at;
    ahead[i] += step;
    behind[i] -= step;
    const Floats a = forward(ahead), b = forward(behind);
    double slope = 0;
    for (size_t k = 0; k < dy.size(); ++k) slope += (double{a[k]} - b[k]) / (2 * step) * dy[k];
    EXPECT_NEAR(slope, dx[i], 5e-3 * (1 + std::abs(dx[i]))) << "element " << i;
  }
}

TEST(Reference, BackwardsAreTheSlopesOfForwards) {
  const HeadLayout layout{.query_heads = 2, .key_heads = 1, .width = 8, .epsilon = 1e-6f};
  const size_t n = 2 * layout.all() * layout.width;
  const Floats x = Numbers(n, 1), dy = Numbers(n, 2), q = Numbers(8, 3), k = Numbers(8, 4);
  Floats cosine(8), sine(8);
  for (size_t i = 0; i < 8; ++i) cosine[i] = std::cos(0.3f * i), sine[i] = std::sin(0.3f * i);
  Floats inverse(6);
  const auto rotate = [&](const Floats& at) {
    Floats y(n);
    reference::NormAndRotate(at.data(), q.data(), k.data(), cosine.data(), sine.data(), 2, layout,
                             y.data(), inverse.data());
    return y;
  };
  rotate(x);
  Floats dx(n), dq(8), dk(8);
  reference::NormAndRotateBackward(x.data(), q.data(), k.data(), inverse.data(), cosine.data(),
                                   sine.data(), dy.data(), 2, layout, dx.data(), dq.data(),
                                   dk.data());
  ExpectSlopes(rotate, x, dy, dx);

  const Floats gate_up = Numbers(16, 5), dswiglu = Numbers(8, 6);
  Floats dgate_up(16);
  reference::SwiGluBackward(gate_up.data(), dswiglu.data(), 1, 8, dgate_up.data());
  const auto swiglu = [](const Floats& at) {
    Floats y(8);
    reference::SwiGlu(at.data(), 1, 8, y.data());
    return y;
  };
  ExpectSlopes(swiglu, gate_up, dswiglu, dgate_up);

  const Floats logits = Numbers(9, 7);
  const int64_t target = 4;
  Floats dlogits = logits;
  reference::CrossEntropy(dlogits.data(), &target, 1, 9, 1.0f);
  const auto loss = [&](Floats at) {
    return Floats{static_cast<float>(reference::CrossEntropy(at.data(), &target, 1, 9, 1.0f))};
  };
  ExpectSlopes(loss, logits, {1.0f}, dlogits);
}

}  // namespace
}  // namespace weft::kernels
