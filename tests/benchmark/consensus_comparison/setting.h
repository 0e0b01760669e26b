// What all cells of a comparison have in common: the model, the number of tokens, the seed.
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SETTING_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SETTING_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "proto/run_manifest.pb.h"

namespace weft::comparison {

struct Setting {
  std::string out;        // the folder of the comparison
  std::string data;       // a folder with a subfolder of text for each language
  std::string data_flag;  // " --data ..." where it was given, for the command of a record
  uint64_t seed = 1;
  uint32_t steps = 600;  // inner steps of each site
  uint32_t batch = 8;    // samples of a step
  int threads = 2;
  uint64_t held_out_bytes = 40'000;  // scored of each site
  std::string version;
};

// What records that are compared have in common, as their commands say it.
inline std::string SettingWords(const Setting& setting) {
  return absl::StrCat("--steps ", setting.steps, " --batch ", setting.batch, " --held-out-bytes ",
                      setting.held_out_bytes);
}

inline constexpr int kVocabularySize = 4096;
inline constexpr uint32_t kSequenceLength = 128;

// About 0.8 million parameters, half of them the embedding of a vocabulary for eight scripts.
inline ModelConfig ComparisonModel() {
  ModelConfig model;
  model.set_vocabulary_size(kVocabularySize);
  model.set_hidden_size(96);
  model.set_layer_count(4);
  model.set_attention_heads(3);
  model.set_key_value_heads(1);
  model.set_head_dimension(32);
  model.set_intermediate_size(288);
  model.set_context_length(kSequenceLength);
  model.set_qk_norm(true);
  model.set_tied_embeddings(true);
  model.set_rope_theta(500000);
  model.set_norm_epsilon(1e-6);
  return model;
}

// The inner loop of every cell.
inline InnerTraining ComparisonTraining(const Setting& setting, uint64_t steps) {
  InnerTraining training;
  training.set_batch_size(setting.batch);
  training.set_sequence_length(kSequenceLength);
  training.set_learning_rate(3e-3);
  training.set_learning_rate_min(3e-4);
  training.set_warmup_steps(static_cast<uint32_t>(steps / 20));
  training.set_weight_decay(0.1);
  training.set_beta1(0.9);
  training.set_beta2(0.95);
  training.set_epsilon(1e-8);
  training.set_gradient_clip(1);
  return training;
}

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SETTING_H_
