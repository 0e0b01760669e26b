#include "worker/training/sgd.h"

#include <gtest/gtest.h>

#include <vector>

namespace weft {
namespace {

TEST(SgdTest, WeightDecaySparesOneDimensionalTensors) {
  const ParameterLayout layout =
      *ParameterLayout::Create({{"a", {2, 3}}, {"norm", {5}}, {"b", {4, 1}}});
  InnerSgd optimizer(layout);
  InnerTraining training;
  training.set_weight_decay(0.1);
  const std::vector<float> gradient(layout.element_count(), 3.0f);
  std::vector<float> w(layout.element_count(), 2.0f);
  InnerStep step;
  step.learning_rate = 0.5;
  step.gradient_scale = 0.25;
  step.gradient = gradient.data();
  step.w = w.data();
  optimizer.Step(training, step);
  EXPECT_EQ(optimizer.steps(), 1);
  EXPECT_TRUE(optimizer.State().empty());
  for (const TensorSpec& tensor : layout.tensors()) {
    const float decay = tensor.shape.size() > 1 ? 0.1f * 2.0f : 0.0f;
    for (uint64_t i = 0; i < tensor.size; ++i) {
      EXPECT_EQ(w[tensor.offset + i], 2.0f - 0.5f * (0.75f + decay)) << tensor.name;
    }
  }
}

TEST(SgdTest, ThePullIsTheProxOfTheSquaredDistance) {
  const ParameterLayout layout = *ParameterLayout::Create({{"a", {1, 2}}});
  InnerSgd optimizer(layout);
  const std::vector<float> gradient = {1, -2}, base = {10, -6};
  std::vector<float> w = {2, 3};
  InnerStep step;
  step.learning_rate = 0.5;
  step.rho = 2;
  step.gradient = gradient.data();
  step.base = base.data();
  step.w = w.data();
  optimizer.Step(InnerTraining(), step);
  EXPECT_EQ(w, (std::vector<float>{(1.5f + 10) / 2, (4 - 6.0f) / 2}));  // lr rho = 1
}

}  // namespace
}  // namespace weft
