#include "worker/training/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace weft {
namespace {

InnerTraining Training(double weight_decay) {
  InnerTraining training;
  training.set_beta1(0.9);
  training.set_beta2(0.95);
  training.set_epsilon(1e-8);
  training.set_weight_decay(weight_decay);
  return training;
}

TEST(AdamWTest, WeightDecaySparesOneDimensionalTensors) {
  const ParameterLayout layout = *ParameterLayout::Create(
      {{"a", {2, 3}}, {"norm", {5}}, {"b", {4, 1}}, {"c", {2, 2, 2}}, {"last_norm", {1}}});
  AdamW optimizer(layout);
  const std::vector<float> gradient(layout.element_count(), 0.0f);
  std::vector<float> w(layout.element_count(), 2.0f);
  InnerStep step;
  step.learning_rate = 0.5;
  step.gradient = gradient.data();
  step.w = w.data();
  optimizer.Step(Training(0.1), step);
  for (const TensorSpec& tensor : layout.tensors()) {
    const float expected = tensor.shape.size() > 1 ? 2.0f - 0.5f * (0.1f * 2.0f) : 2.0f;
    for (uint64_t i = 0; i < tensor.size; ++i) {
      EXPECT_EQ(w[tensor.offset + i], expected) << tensor.name;
    }
  }
}

TEST(AdamWTest, PullTakesARoundWithoutGradientsThePromisedPartOfTheWay) {
  const ParameterLayout layout = *ParameterLayout::Create({{"a", {64, 64}}, {"norm", {64}}});
  const double pull = 0.6, learning_rate = 3e-4;
  constexpr int kSteps = 50;
  AdamW optimizer(layout);
  const uint64_t n = layout.element_count();
  const std::vector<float> gradient(n, 0.0f);
  std::vector<float> w(n), base(n), begin(n);
  for (uint64_t i = 0; i < n; ++i) {
    begin[i] = w[i] = std::sin(static_cast<float>(i));
    base[i] = std::cos(static_cast<float>(3 * i));
  }
  InnerStep step;
  step.learning_rate = learning_rate;
  step.rho = (std::pow(1 - pull, -1.0 / kSteps) - 1) / learning_rate;
  step.gradient = gradient.data();
  step.base = base.data();
  step.w = w.data();
  for (int i = 0; i < kSteps; ++i) optimizer.Step(Training(0), step);
  for (uint64_t i = 0; i < n; ++i) {
    // What is left is 1 - pull of the way, up to fp32's rounding in each of the steps.
    EXPECT_NEAR(w[i] - base[i], (1 - pull) * (begin[i] - base[i]), 2e-5) << i;
  }
}

// The first step of AdamW is learning_rate in size, whatever the gradient's: m and v are corrected
// for their cold start.
TEST(AdamWTest, CountsItsOwnStepsForTheBiasCorrection) {
  const ParameterLayout layout = *ParameterLayout::Create({{"a", {1, 4}}});
  AdamW optimizer(layout);
  const std::vector<float> gradient = {1, -2, 1e-3f, 50};
  std::vector<float> w(4, 0.0f);
  InnerStep step;
  step.learning_rate = 0.1;
  step.gradient = gradient.data();
  step.w = w.data();
  optimizer.Step(Training(0), step);
  EXPECT_EQ(optimizer.steps(), 1);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(w[i], gradient[i] > 0 ? -0.1 : 0.1, 1e-6);
  // With the same gradient again the corrected moments stay what they are, and so does the step.
  optimizer.Step(Training(0), step);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(w[i], gradient[i] > 0 ? -0.2 : 0.2, 2e-6);
}

}  // namespace
}  // namespace weft
