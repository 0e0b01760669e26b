// A site small enough for a test: a transformer of 10,000 parameters, and shards of a text that
// repeats itself.
#ifndef WEFT_TESTS_WORKER_TRAINING_TINY_SITE_H_
#define WEFT_TESTS_WORKER_TRAINING_TINY_SITE_H_

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/formats/huggingface.h"
#include "model/transformer.h"
#include "proto/check.h"
#include "proto/digest.h"
#include "proto/durable_file.h"
#include "proto/site.pb.h"
#include "tokenizer/shard_manifest.h"
#include "tokenizer/token_shard_format.h"
#include "tokenizer/token_shard_reader.h"
#include "worker/training/trainer.h"

namespace weft {

// A folder that goes with the test.
class TestFolder {
 public:
  explicit TestFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / (name + "_" + std::to_string(getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline ModelConfig TinyModel() {
  ModelConfig model;
  model.set_vocabulary_size(128);
  model.set_hidden_size(16);
  model.set_layer_count(2);
  model.set_attention_heads(2);
  model.set_key_value_heads(1);
  model.set_head_dimension(8);
  model.set_intermediate_size(32);
  model.set_context_length(32);
  model.set_qk_norm(true);
  model.set_tied_embeddings(true);
  model.set_rope_theta(500000);
  model.set_norm_epsilon(1e-6);
  return model;
}

inline std::string TinyTokenizerSha256() { return ToHex(Sha256("tiny tokenizer")); }

// One document in which token follows token with a period of 13; held out is one with a period
// of 11.
inline void WriteTinyShards(const std::string& folder, uint64_t token_count = 2000,
                            uint64_t held_out_count = 200) {
  WEFT_CHECK(MakeDirectories(folder).ok());
  ShardManifest manifest;
  manifest.tokenizer_sha256 = TinyTokenizerSha256();
  manifest.vocabulary_size = TinyModel().vocabulary_size();
  manifest.held_out_text_sha256 = ToHex(Sha256(""));
  const auto write = [&](const std::string& name, uint64_t count, uint64_t period,
                         ShardSplit* split) {
    if (count == 0) return;
    std::vector<int32_t> tokens;
    for (uint64_t i = 0; i < count; ++i) {
      tokens.push_back(static_cast<int32_t>(3 + i * 29 % period * 7));
    }
    TokenShardHeader header;
    header.vocabulary_size = manifest.vocabulary_size;
    header.tokenizer = Sha256("tiny tokenizer");
    const std::string bytes = EncodeTokenShard(header, tokens, std::vector<uint64_t>{0});
    split->documents = 1;
    split->tokens = count;
    split->shards.push_back({.file = name,
                             .sha256 = ToHex(Sha256(bytes)),
                             .bytes = bytes.size(),
                             .documents = 1,
                             .tokens = count});
    WEFT_CHECK(WriteFileDurably(folder + "/" + name, bytes).ok());
  };
  write("train-00000.tokens", token_count, 13, &manifest.train);
  write("held_out-00000.tokens", held_out_count, 11, &manifest.held_out);
  WEFT_CHECK(WriteFileDurably(folder + "/manifest.json", PrintShardManifest(manifest)).ok());
}

inline InnerTraining TinyTraining() {
  InnerTraining training;
  training.set_batch_size(4);
  training.set_sequence_length(16);
  training.set_learning_rate(0.01);
  training.set_learning_rate_min(0.001);
  training.set_warmup_steps(2);
  training.set_weight_decay(0.1);
  training.set_beta1(0.9);
  training.set_beta2(0.95);
  training.set_epsilon(1e-8);
  training.set_gradient_clip(1);
  training.set_warmup_after_join_steps(5);
  return training;
}

inline RoundOrder TinyOrder(uint64_t round, uint32_t inner_steps, uint32_t round_count = 4) {
  RoundOrder order;
  order.set_protocol_version(1);
  order.set_run_id("tiny");
  order.set_round(round);
  order.set_inner_steps(inner_steps);
  order.set_first_step(round * inner_steps);
  order.set_first_sample_step(order.first_step());
  order.set_total_steps(uint64_t{round_count} * inner_steps);
  order.set_seed(7);
  order.set_site("site-a");
  *order.mutable_model() = TinyModel();
  *order.mutable_training() = TinyTraining();
  order.mutable_consensus()->set_alpha(1);
  order.set_tokenizer_sha256(TinyTokenizerSha256());
  return order;
}

inline std::unique_ptr<Trainer> TinyTrainer(const std::string& shards) {
  static const bool one_thread = (SetComputeThreads(1), true);
  WEFT_CHECK(one_thread);
  auto data = TokenDataset::Open({shards}, TinyTokenizerSha256(),
                                 static_cast<int>(TinyTraining().sequence_length()));
  WEFT_CHECK(data.ok());
  auto model = Transformer::Create(TinyModel());
  WEFT_CHECK(model.ok());
  std::optional<TokenDataset> held_out;
  if (auto opened = TokenDataset::Open({shards}, TinyTokenizerSha256(), data->sequence_length(),
                                       Split::kHeldOut);
      opened.ok()) {
    held_out = *std::move(opened);
  }
  return Trainer::Create(*std::move(model), *std::move(data), std::move(held_out));
}

inline ParameterVector TinyVector(uint64_t seed = 1) {
  const ParameterLayout layout = *TransformerLayout(TinyModel());
  ParameterVector vector(layout.element_count());
  InitializeParameters(layout, seed, vector.span());
  return vector;
}

inline std::vector<float> Values(absl::Span<const float> span) {
  return {span.begin(), span.end()};
}

}  // namespace weft

#endif  // WEFT_TESTS_WORKER_TRAINING_TINY_SITE_H_
