// The transformer against what must hold of it: gradients against differences of the loss,
// causality, the cache against the whole sequence, and equal bits for equal calls.
// tests/model/logit_parity_test.py compares it with transformers.
#include "model/transformer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/model/small_config.h"

namespace weft {
namespace {

using testing::RandomTokens;
using testing::RandomVector;
using testing::SmallConfig;

class TransformerForms : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  TransformerForms() {
    SetComputeThreads(1);
    model_ = *Transformer::Create(SmallConfig(std::get<0>(GetParam()), std::get<1>(GetParam())));
    vector_ = RandomVector(model_->layout().element_count(), 1);
    model_->LoadParameters(vector_);
  }
  double Loss(const std::vector<float>& vector) {
    model_->LoadParameters(vector);
    double sum = 0;
    for (const float p : model_->TargetLogProbabilities(tokens_, targets_, 3, 20)) sum -= p;
    return sum / 60;
  }

  std::unique_ptr<Transformer> model_;
  std::vector<float> vector_;
  std::vector<int32_t> tokens_ = RandomTokens(60, 2), targets_ = RandomTokens(60, 3);
};

INSTANTIATE_TEST_SUITE_P(QkNormAndTied, TransformerForms,
                         ::testing::Combine(::testing::Bool(), ::testing::Bool()));

TEST_P(TransformerForms, LossIsMinusTheMeanLogProbability) {
  EXPECT_NEAR(model_->LossAndGradients(tokens_, targets_, 3, 20), Loss(vector_), 1e-5);
}

// Tensor by tensor, along the gradient itself: the slope of the loss there is the gradient's norm.
TEST_P(TransformerForms, GradientsAreTheSlopesOfTheLoss) {
  model_->LossAndGradients(tokens_, targets_, 3, 20);
  const std::vector<float> gradient(model_->gradients(), model_->gradients() + vector_.size());
  for (const TensorSpec& tensor : model_->layout().tensors()) {
    double norm = 0;
    for (uint64_t i = 0; i < tensor.size; ++i) {
      norm += std::pow(gradient[tensor.offset + i], 2);
    }
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 1e-4) << tensor.name;
    const double step = 3e-3 * std::min(1.0, 1 / norm) + 1e-3;
    std::vector<float> ahead = vector_, behind = vector_;
    for (uint64_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) {
      ahead[i] += static_cast<float>(step * gradient[i] / norm);
      behind[i] -= static_cast<float>(step * gradient[i] / norm);
    }
    EXPECT_NEAR((Loss(ahead) - Loss(behind)) / (2 * step) / norm, 1.0, 0.02) << tensor.name;
  }
}

TEST_P(TransformerForms, GradientsDoNotPileUpAndCallsRepeatTheirBits) {
  const float loss = model_->LossAndGradients(tokens_, targets_, 3, 20);
  const std::vector<float> first(model_->gradients(), model_->gradients() + vector_.size());
  EXPECT_EQ(model_->LossAndGradients(tokens_, targets_, 3, 20), loss);
  EXPECT_EQ(std::vector<float>(model_->gradients(), model_->gradients() + vector_.size()), first);
}

TEST_P(TransformerForms, ThreadsAgreeWithinRoundingAndRepeatTheirBits) {
  const float loss = model_->LossAndGradients(tokens_, targets_, 3, 20);
  const std::vector<float> alone(model_->gradients(), model_->gradients() + vector_.size());
  SetComputeThreads(2);
  EXPECT_NEAR(model_->LossAndGradients(tokens_, targets_, 3, 20), loss, 1e-5);
  const std::vector<float> shared(model_->gradients(), model_->gradients() + vector_.size());
  model_->LossAndGradients(tokens_, targets_, 3, 20);
  const std::vector<float> again(model_->gradients(), model_->gradients() + vector_.size());
  SetComputeThreads(1);
  EXPECT_EQ(again, shared);
  for (size_t i = 0; i < alone.size(); ++i) ASSERT_NEAR(shared[i], alone[i], 1e-5f) << i;
}

TEST_P(TransformerForms, LaterTokensDoNotChangeEarlierLogits) {
  std::vector<int32_t> tokens = RandomTokens(30, 4);
  const std::vector<float> before = model_->Logits(tokens);
  tokens[20] = (tokens[20] + 1) % 256;
  const std::vector<float> after = model_->Logits(tokens);
  for (size_t i = 0; i < 20 * 256; ++i) ASSERT_NEAR(before[i], after[i], 1e-5f) << i;
  double change = 0;
  for (size_t i = 20 * 256; i < before.size(); ++i) change += std::abs(before[i] - after[i]);
  EXPECT_GT(change, 1.0);
}

TEST_P(TransformerForms, CacheGivesTheLogitsOfTheWholeSequence) {
  const std::vector<int32_t> tokens = RandomTokens(40, 5);
  const std::vector<float> whole = model_->Logits(tokens);
  const std::unique_ptr<KeyValueCache> cache = model_->NewCache();
  size_t fed = 0;
  for (const size_t count : {7, 1, 1, 12, 1, 18}) {  // pieces of one and of several tokens
    const std::vector<float> logits =
        model_->NextLogits(absl::MakeConstSpan(tokens).subspan(fed, count), cache.get());
    fed += count;
    ASSERT_EQ(logits.size(), 256u);
    for (size_t i = 0; i < 256; ++i) {
      ASSERT_NEAR(logits[i], whole[(fed - 1) * 256 + i], 1e-4f) << fed << " " << i;
    }
  }
  EXPECT_EQ(cache->length(), 40);
}

TEST_P(TransformerForms, RowsOfABatchAreApart) {
  const std::unique_ptr<KeyValueCache> cache = model_->NewCache(3);
  const std::vector<float> logits = model_->NextLogits(tokens_, cache.get());
  for (size_t row = 0; row < 3; ++row) {
    const std::vector<float> alone =
        model_->Logits(absl::MakeConstSpan(tokens_).subspan(row * 20, 20));
    for (size_t i = 0; i < 256; ++i) {
      ASSERT_NEAR(logits[row * 256 + i], alone[19 * 256 + i], 1e-4f) << row;
    }
  }
}

TEST(Transformer, ParametersComeBackAsTheyWent) {
  auto model = *Transformer::Create(SmallConfig());
  const std::vector<float> vector = RandomVector(model->layout().element_count(), 9);
  std::vector<float> back(vector.size());
  model->LoadParameters(vector);
  model->StoreParameters(absl::MakeSpan(back));
  EXPECT_EQ(back, vector);
  EXPECT_EQ(std::vector<float>(model->parameters(), model->parameters() + vector.size()), vector);
}

TEST(Transformer, RefusesAConfigOutOfRange) {
  ModelConfig config = SmallConfig();
  config.set_key_value_heads(3);  // does not divide 4 heads
  EXPECT_EQ(Transformer::Create(config).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weft
