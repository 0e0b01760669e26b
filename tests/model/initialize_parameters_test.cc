#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "model/formats/huggingface.h"
#include "model/transformer.h"
#include "tests/model/small_config.h"

namespace weft {
namespace {

std::vector<float> Initial(const ParameterLayout& layout, uint64_t seed) {
  std::vector<float> vector(layout.element_count());
  InitializeParameters(layout, seed, absl::MakeSpan(vector));
  return vector;
}

// Golden values: printed by initialize_golden.py beside this file, written from the definition.
TEST(InitializeParameters, GivesTheGoldenValues) {
  const ParameterLayout layout = *TransformerLayout(testing::SmallConfig(true, /*tied=*/false));
  const std::vector<float> vector = Initial(layout, 7);
  const std::vector<float> embedding = {0.0247976091f,   0.00741247227f, -0.00587723171f,
                                        -0.00797726586f, 0.0169646256f,  0.015152907f};
  const std::vector<float> head = {0.0206848513f, 0.022291597f, 0.017573595f};
  const uint64_t embedding_at = layout.Find("model.embed_tokens.weight")->offset;
  const uint64_t head_at = layout.Find("lm_head.weight")->offset;
  for (size_t i = 0; i < embedding.size(); ++i) EXPECT_EQ(vector[embedding_at + i], embedding[i]);
  for (size_t i = 0; i < head.size(); ++i) EXPECT_EQ(vector[head_at + i], head[i]);
}

TEST(InitializeParameters, NormsAreOnesAndMatricesTruncatedNormal) {
  const ParameterLayout layout = *TransformerLayout(testing::SmallConfig());
  const std::vector<float> vector = Initial(layout, 1);
  double sum = 0, squares = 0, count = 0;
  for (const TensorSpec& tensor : layout.tensors()) {
    for (uint64_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) {
      if (tensor.shape.size() == 1) {
        EXPECT_EQ(vector[i], 1.0f);
        continue;
      }
      EXPECT_LE(std::abs(vector[i]), 0.04f);
      sum += vector[i];
      squares += vector[i] * vector[i];
      count += 1;
    }
  }
  EXPECT_NEAR(sum / count, 0, 5 * 0.02 / std::sqrt(count));
  // The variance of a unit normal cut at two deviations is 1 - 4 phi(2) / (2 Phi(2) - 1) = 0.7737.
  EXPECT_NEAR(squares / count / (0.02 * 0.02), 0.7737, 0.02);
}

TEST(InitializeParameters, AnotherSeedGivesAnotherVector) {
  const ParameterLayout layout = *TransformerLayout(testing::SmallConfig());
  EXPECT_EQ(Initial(layout, 1), Initial(layout, 1));
  EXPECT_NE(Initial(layout, 1), Initial(layout, 2));
}

}  // namespace
}  // namespace weft
