// Every back end of AdamW and SGD against the reference, bit for bit; the reference against
// torch.optim; the pull against the minimum that it claims to be.
#include "kernels/optimizer_step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/back_ends.h"

namespace weft::kernels {
namespace {

using testing::AwkwardNumbers;
using testing::ExpectSameBits;
using testing::ForEachInstructionSet;
using testing::Lengths;

struct State {
  std::vector<float> w, m, v;
};

State Start(size_t n) {
  State state{AwkwardNumbers(n, 21), AwkwardNumbers(n, 22, 0.01f), AwkwardNumbers(n, 23, 0.01f)};
  for (float& v : state.v) v = std::abs(v);
  return state;
}

TEST(AdamW, SameBitsAsReference) {
  ForEachInstructionSet([] {
    for (const float rho : {0.0f, 0.7f}) {
      for (const size_t n : Lengths()) {
        State got = Start(n), want = Start(n);
        const std::vector<float> base = AwkwardNumbers(n, 24);
        for (uint64_t step = 1; step <= 4; ++step) {
          const std::vector<float> gradient = AwkwardNumbers(n + 1, 30 + step);
          const AdamWStep options{.learning_rate = 3e-3f,
                                  .weight_decay = 0.1f,
                                  .rho = rho,
                                  .gradient_scale = 0.37f,
                                  .step = step * step};
          const float* z = rho == 0 ? nullptr : base.data();
          AdamW(options, gradient.data() + 1, z, n, got.w.data(), got.m.data(), got.v.data());
          reference::AdamW(options, gradient.data() + 1, z, n, want.w.data(), want.m.data(),
                           want.v.data());
        }
        ExpectSameBits(got.w, want.w);
        ExpectSameBits(got.m, want.m);
        ExpectSameBits(got.v, want.v);
      }
    }
  });
}

// Golden values: printed by adamw_golden.py beside this file, which runs torch.optim.AdamW of
// torch 2.13.0.
TEST(AdamW, MatchesTorchOptim) {
  const std::vector<std::vector<float>> golden = {
      {0.489500016f, -1.23874998f, 1.98800004f, 0.00900100078f, -0.00900099985f, 3.00699997f,
       -0.759249985f},
      {0.486326814f, -1.23482764f, 1.98332846f, 0.011675694f, -0.0116756931f, 3.00667667f,
       -0.76117444f},
      {0.481977373f, -1.22972977f, 1.97748208f, 0.0155271338f, -0.0155271329f, 3.00753307f,
       -0.764276385f}};
  std::vector<float> w = {0.5f, -1.25f, 2.0f, -0.001f, 1e-3f, 3.0f, -0.75f};
  std::vector<float> m(7), v(7), gradient(7);
  for (int step = 0; step < 3; ++step) {
    for (int i = 0; i < 7; ++i) {
      gradient[i] = 0.1f * (i + 1) * ((i + step) % 2 == 0 ? 1 : -1) / (step + 1);
    }
    const AdamWStep options{
        .learning_rate = 0.01f, .weight_decay = 0.1f, .step = static_cast<uint64_t>(step) + 1};
    AdamW(options, gradient.data(), nullptr, 7, w.data(), m.data(), v.data());
    for (int i = 0; i < 7; ++i) EXPECT_NEAR(w[i], golden[step][i], 5e-7f) << step << " " << i;
  }
}

// w minimises (1/(2 lr)) (w - u)^2 + (rho/2) (w - z)^2, so its derivative there is zero.
TEST(AdamW, PullIsTheProximalStep) {
  const AdamWStep plain{.learning_rate = 0.05f, .weight_decay = 0.1f};
  AdamWStep pulled = plain;
  pulled.rho = 3.0f;
  const size_t n = 33;
  const std::vector<float> gradient(n, 0.2f), base(n, -1.0f);
  std::vector<float> u(n, 0.5f), mu(n), vu(n), w(n, 0.5f), mw(n), vw(n);
  AdamW(plain, gradient.data(), nullptr, n, u.data(), mu.data(), vu.data());
  AdamW(pulled, gradient.data(), base.data(), n, w.data(), mw.data(), vw.data());
  for (size_t i = 0; i < n; ++i) {
    const double derivative = (double{w[i]} - u[i]) / pulled.learning_rate +
                              double{pulled.rho} * (double{w[i]} - base[i]);
    EXPECT_NEAR(derivative, 0.0, 1e-5);
    EXPECT_LT(w[i], u[i]);
  }
  ExpectSameBits(mw, mu);  // the pull does not enter the moments
}

TEST(Sgd, SameBitsAsReference) {
  ForEachInstructionSet([] {
    for (const float rho : {0.0f, 0.7f}) {
      for (const size_t n : Lengths()) {
        std::vector<float> got = AwkwardNumbers(n, 41), want = got;
        const std::vector<float> gradient = AwkwardNumbers(n + 1, 42), base = AwkwardNumbers(n, 43);
        const SgdStep options{
            .learning_rate = 0.03f, .weight_decay = 0.1f, .rho = rho, .gradient_scale = 0.37f};
        const float* z = rho == 0 ? nullptr : base.data();
        Sgd(options, gradient.data() + 1, z, n, got.data());
        reference::Sgd(options, gradient.data() + 1, z, n, want.data());
        ExpectSameBits(got, want);
      }
    }
  });
}

// Golden values: printed by sgd_golden.py beside this file, which runs torch.optim.SGD of torch
// 2.13.0.
TEST(Sgd, MatchesTorchOptim) {
  const std::vector<std::vector<float>> golden = {
      {0.492500007f, -1.23374999f, 1.97500002f, 0.0190050006f, -0.0240050014f, 3.0150001f,
       -0.78125f},
      {0.492537498f, -1.23258126f, 1.97262502f, 0.00890997518f, -0.011384977f, 2.98492503f,
       -0.759843767f},
      {0.488408148f, -1.22308505f, 1.95776188f, 0.0155320922f, -0.0196613856f, 2.9800005f,
       -0.767711222f}};
  std::vector<float> w = {0.5f, -1.25f, 2.0f, -0.001f, 1e-3f, 3.0f, -0.75f};
  std::vector<float> gradient(7);
  for (int step = 0; step < 3; ++step) {
    for (int i = 0; i < 7; ++i) {
      gradient[i] = 0.1f * (i + 1) * ((i + step) % 2 == 0 ? 1 : -1) / (step + 1);
    }
    Sgd({.learning_rate = 0.05f, .weight_decay = 0.1f}, gradient.data(), nullptr, 7, w.data());
    for (int i = 0; i < 7; ++i) EXPECT_NEAR(w[i], golden[step][i], 5e-7f) << step << " " << i;
  }
}

TEST(Sgd, PullIsTheProximalStep) {
  const SgdStep options{.learning_rate = 0.05f, .rho = 3.0f};
  const size_t n = 33;
  const std::vector<float> gradient(n, 0.2f), base(n, -1.0f);
  std::vector<float> w(n, 0.5f);
  Sgd(options, gradient.data(), base.data(), n, w.data());
  for (size_t i = 0; i < n; ++i) {
    const double u = 0.5 - 0.05 * 0.2;
    EXPECT_NEAR((w[i] - u) / 0.05 + 3.0 * (double{w[i]} + 1.0), 0.0, 1e-5);
  }
}

TEST(AddPull, SameBitsAsReference) {
  ForEachInstructionSet([] {
    for (const size_t n : Lengths()) {
      std::vector<float> got = AwkwardNumbers(n + 1, 51), want = got;
      const std::vector<float> w = AwkwardNumbers(n, 52), base = AwkwardNumbers(n, 53);
      AddPull(0.7f, w.data(), base.data(), n, got.data() + 1);
      reference::AddPull(0.7f, w.data(), base.data(), n, want.data() + 1);
      ExpectSameBits(got, want);
    }
  });
}

// The central difference of (rho/2) (w - z)^2, which is exact for a parabola. Of the norm without
// its square it would be rho times a sign.
TEST(AddPull, IsTheGradientOfTheSquaredDistance) {
  const std::vector<float> w = {0.5f, -3.0f, 100.0f}, base = {0.25f, 1.0f, -50.0f};
  std::vector<float> gradient(3);
  const double rho = 0.5, h = 0.125;
  AddPull(static_cast<float>(rho), w.data(), base.data(), 3, gradient.data());
  for (int i = 0; i < 3; ++i) {
    const auto penalty = [&](double at) { return rho / 2 * (at - base[i]) * (at - base[i]); };
    EXPECT_NEAR(gradient[i], (penalty(w[i] + h) - penalty(w[i] - h)) / (2 * h), 1e-9);
  }
}

}  // namespace
}  // namespace weft::kernels
