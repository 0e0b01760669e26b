// The model that the tests of this folder share: every feature, few elements.
#ifndef WEFT_TESTS_MODEL_SMALL_CONFIG_H_
#define WEFT_TESTS_MODEL_SMALL_CONFIG_H_

#include <cstdint>
#include <random>
#include <vector>

#include "proto/run_manifest.pb.h"

namespace weft::testing {

// Grouped-query attention, and heads that together are wider than the hidden size.
inline ModelConfig SmallConfig(bool qk_norm = true, bool tied = true) {
  ModelConfig config;
  config.set_vocabulary_size(256);
  config.set_hidden_size(48);
  config.set_layer_count(2);
  config.set_attention_heads(4);
  config.set_key_value_heads(2);
  config.set_head_dimension(16);
  config.set_intermediate_size(80);
  config.set_context_length(64);
  config.set_qk_norm(qk_norm);
  config.set_tied_embeddings(tied);
  config.set_rope_theta(500000);
  config.set_norm_epsilon(1e-6);
  return config;
}

inline std::vector<int32_t> RandomTokens(size_t count, uint32_t seed, uint32_t vocabulary = 256) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % vocabulary);
  return tokens;
}

// Large enough that attention is far from uniform and every gradient far from zero.
inline std::vector<float> RandomVector(size_t count, uint32_t seed, float scale = 0.3f) {
  std::mt19937 random(seed);
  std::vector<float> vector(count);
  for (float& x : vector) x = scale * (static_cast<float>(random() >> 8) / 8388608.0f - 1.0f);
  return vector;
}

}  // namespace weft::testing

#endif  // WEFT_TESTS_MODEL_SMALL_CONFIG_H_
