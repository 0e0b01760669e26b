// Hugging Face model folders: config.json and model.safetensors (or shards with an index), read and
// written, for Qwen3ForCausalLM (qk_norm) and LlamaForCausalLM.
//
//   absl::StatusOr<HuggingFaceModel> model = ReadHuggingFaceFolder("releases/round-000008");
//   absl::Status status = WriteHuggingFaceFolder(out, config, vector, tokenizer_folder);
#ifndef WEFT_MODEL_FORMATS_HUGGINGFACE_H_
#define WEFT_MODEL_FORMATS_HUGGINGFACE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_layout.h"
#include "model/parameters/parameter_vector.h"
#include "proto/run_manifest.pb.h"

namespace weft {

// InvalidArgument naming the first field that is out of range, with what is allowed.
absl::Status CheckModelConfig(const ModelConfig& config);

// The tensors of this transformer, named as transformers names them, [out, in] row-major, in this
// order:
//   model.embed_tokens.weight [V, d]; for each layer i, prefix model.layers.{i}. :
//   input_layernorm.weight [d], self_attn.{q,k,v,o}_proj.weight, self_attn.{q,k}_norm.weight
//   [head_dim] (qk_norm only), post_attention_layernorm.weight [d], mlp.{gate,up,down}_proj.weight;
//   model.norm.weight [d]; lm_head.weight [V, d] (untied only).
absl::StatusOr<ParameterLayout> TransformerLayout(const ModelConfig& config);

// config.json, in the dialects of transformers 4 and 5.
std::string PrintHuggingFaceConfig(const ModelConfig& config);
// Refuses what the transformer cannot compute, by the name of the first unsupported field.
absl::StatusOr<ModelConfig> ParseHuggingFaceConfig(absl::string_view json,
                                                   absl::string_view source);

struct HuggingFaceModel {
  ModelConfig config;
  ParameterLayout layout;
  ParameterVector vector;
};

absl::StatusOr<ModelConfig> ReadHuggingFaceConfig(const std::string& folder);
absl::StatusOr<HuggingFaceModel> ReadHuggingFaceFolder(const std::string& folder);

// The files that belong to a tokenizer, copied as they are: tokenizer.model tokenizer.json
// tokenizer_config.json special_tokens_map.json.
extern const char* const kTokenizerFiles[4];

// Writes config.json, generation_config.json, model.safetensors, the tokenizer's files and
// SHA256SUMS of all into `folder`, which must not exist: it is written beside, synced and renamed,
// so that it is there whole or not at all. `tokenizer_folder` may be empty: then the folder has no
// tokenizer. `extra_files` are (name, content) pairs.
absl::Status WriteHuggingFaceFolder(
    const std::string& folder, const ModelConfig& config, absl::Span<const float> vector,
    const std::string& tokenizer_folder,
    absl::Span<const std::pair<std::string, std::string>> extra_files = {});

}  // namespace weft

#endif  // WEFT_MODEL_FORMATS_HUGGINGFACE_H_
