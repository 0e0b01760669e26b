#include "model/formats/huggingface.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "model/formats/safetensors.h"
#include "nlohmann/json.hpp"
#include "proto/digest.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr uint64_t kJsonBytesMax = 64 << 20;
constexpr absl::string_view kSingleFile = "model.safetensors";
constexpr absl::string_view kIndexFile = "model.safetensors.index.json";

absl::Status OutOfRange(absl::string_view field, double value, absl::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat("model: ", field, " ", value, " is out of range: ", allowed));
}

// Looks a number up; nullopt when it is absent or null.
absl::StatusOr<std::optional<double>> NumberAt(const Json& json, const std::string& field,
                                               absl::string_view source) {
  const auto it = json.find(field);
  if (it == json.end() || it->is_null()) return std::nullopt;
  if (!it->is_number())
    return absl::InvalidArgumentError(absl::StrCat(source, ": ", field, " is not a number"));
  return it->get<double>();
}

// Fields whose values change the arithmetic: each must be absent, null or what the transformer
// computes.
absl::Status CheckFixedFields(const Json& json, absl::string_view source) {
  const std::pair<const char*, Json> fixed[] = {
      {"hidden_act", "silu"},           {"attention_bias", false},     {"mlp_bias", false},
      {"attention_dropout", 0.0},       {"use_sliding_window", false}, {"pretraining_tp", 1},
      {"quantization_config", nullptr}, {"rope_scaling", nullptr}};
  for (const auto& [field, wanted] : fixed) {
    const auto it = json.find(field);
    if (it == json.end() || it->is_null() || *it == wanted) continue;
    return absl::UnimplementedError(absl::StrCat(source, ": ", field, " is ", it->dump(), "; only ",
                                                 wanted.dump(), " is supported"));
  }
  return absl::OkStatus();
}

// transformers 5 keeps RoPE in rope_parameters, 4 in rope_theta.
absl::StatusOr<double> RopeTheta(const Json& json, absl::string_view source) {
  const auto parameters = json.find("rope_parameters");
  if (parameters == json.end() || !parameters->is_object()) {
    absl::StatusOr<std::optional<double>> theta = NumberAt(json, "rope_theta", source);
    if (!theta.ok()) return theta.status();
    return theta->value_or(10000.0);
  }
  const std::string type =
      parameters->contains("rope_type") && (*parameters)["rope_type"].is_string()
          ? (*parameters)["rope_type"].get<std::string>()
          : "default";
  if (type != "default")
    return absl::UnimplementedError(
        absl::StrCat(source, ": rope_type is '", type, "'; only 'default' is supported"));
  absl::StatusOr<std::optional<double>> theta = NumberAt(*parameters, "rope_theta", source);
  if (!theta.ok()) return theta.status();
  return theta->value_or(10000.0);
}

}  // namespace

absl::Status CheckModelConfig(const ModelConfig& c) {
  const auto between = [](uint64_t value, uint64_t low, uint64_t high) {
    return value >= low && value <= high;
  };
  if (!between(c.vocabulary_size(), 128, 1 << 20))
    return OutOfRange("vocabulary_size", c.vocabulary_size(), "128 .. 1048576");
  if (!between(c.hidden_size(), 1, 1 << 16))
    return OutOfRange("hidden_size", c.hidden_size(), "1 .. 65536");
  if (!between(c.layer_count(), 1, 1024))
    return OutOfRange("layer_count", c.layer_count(), "1 .. 1024");
  if (!between(c.attention_heads(), 1, 1024))
    return OutOfRange("attention_heads", c.attention_heads(), "1 .. 1024");
  if (!between(c.key_value_heads(), 1, c.attention_heads()) ||
      c.attention_heads() % c.key_value_heads() != 0) {
    return OutOfRange("key_value_heads", c.key_value_heads(),
                      absl::StrCat("a divisor of attention_heads ", c.attention_heads()));
  }
  if (!between(c.head_dimension(), 2, 1024) || c.head_dimension() % 2 != 0)
    return OutOfRange("head_dimension", c.head_dimension(), "even, 2 .. 1024");
  if (!between(c.intermediate_size(), 1, 1 << 20))
    return OutOfRange("intermediate_size", c.intermediate_size(), "1 .. 1048576");
  if (!between(c.context_length(), 1, 1 << 22))
    return OutOfRange("context_length", c.context_length(), "1 .. 4194304");
  if (!(c.rope_theta() > 0) || !std::isfinite(c.rope_theta()))
    return OutOfRange("rope_theta", c.rope_theta(), "above 0");
  if (!(c.norm_epsilon() > 0) || c.norm_epsilon() > 1e-2)
    return OutOfRange("norm_epsilon", c.norm_epsilon(), "above 0, at most 0.01");
  return absl::OkStatus();
}

absl::StatusOr<ParameterLayout> TransformerLayout(const ModelConfig& c) {
  if (absl::Status status = CheckModelConfig(c); !status.ok()) return status;
  const int64_t d = c.hidden_size(), v = c.vocabulary_size(), f = c.intermediate_size(),
                h = c.head_dimension();
  const int64_t q = h * c.attention_heads(), kv = h * c.key_value_heads();
  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors = {
      {"model.embed_tokens.weight", {v, d}}};
  for (uint32_t i = 0; i < c.layer_count(); ++i) {
    const auto add = [&](absl::string_view name, std::vector<int64_t> shape) {
      tensors.emplace_back(absl::StrCat("model.layers.", i, ".", name, ".weight"),
                           std::move(shape));
    };
    add("input_layernorm", {d});
    add("self_attn.q_proj", {q, d});
    add("self_attn.k_proj", {kv, d});
    add("self_attn.v_proj", {kv, d});
    add("self_attn.o_proj", {d, q});
    if (c.qk_norm()) {
      add("self_attn.q_norm", {h});
      add("self_attn.k_norm", {h});
    }
    add("post_attention_layernorm", {d});
    add("mlp.gate_proj", {f, d});
    add("mlp.up_proj", {f, d});
    add("mlp.down_proj", {d, f});
  }
  tensors.push_back({"model.norm.weight", {d}});
  if (!c.tied_embeddings()) tensors.push_back({"lm_head.weight", {v, d}});
  return ParameterLayout::Create(std::move(tensors));
}

std::string PrintHuggingFaceConfig(const ModelConfig& c) {
  nlohmann::ordered_json json = {
      {"architectures", {c.qk_norm() ? "Qwen3ForCausalLM" : "LlamaForCausalLM"}},
      {"model_type", c.qk_norm() ? "qwen3" : "llama"},
      {"vocab_size", c.vocabulary_size()},
      {"hidden_size", c.hidden_size()},
      {"intermediate_size", c.intermediate_size()},
      {"num_hidden_layers", c.layer_count()},
      {"num_attention_heads", c.attention_heads()},
      {"num_key_value_heads", c.key_value_heads()},
      {"head_dim", c.head_dimension()},
      {"hidden_act", "silu"},
      {"max_position_embeddings", c.context_length()},
      {"initializer_range", 0.02},
      {"rms_norm_eps", c.norm_epsilon()},
      {"use_cache", true},
      {"tie_word_embeddings", c.tied_embeddings()},
      {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", c.rope_theta()}}},
      {"rope_theta", c.rope_theta()},
      {"rope_scaling", nullptr},
      {"attention_bias", false},
      {"attention_dropout", 0.0},
      {"bos_token_id", 1},
      {"eos_token_id", 2},
      {"dtype", "float32"},
      {"torch_dtype", "float32"},
  };
  if (c.qk_norm()) {
    json["use_sliding_window"] = false;
  } else {
    json["mlp_bias"] = false;
  }
  return json.dump(2) + "\n";
}

absl::StatusOr<ModelConfig> ParseHuggingFaceConfig(absl::string_view text,
                                                   absl::string_view source) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return absl::InvalidArgumentError(absl::StrCat(source, ": no JSON object"));
  const std::string type = json.contains("model_type") && json["model_type"].is_string()
                               ? json["model_type"].get<std::string>()
                               : "";
  if (type != "qwen3" && type != "llama") {
    return absl::UnimplementedError(
        absl::StrCat(source, ": model_type is '", type, "'; qwen3 and llama are supported"));
  }
  if (absl::Status status = CheckFixedFields(json, source); !status.ok()) return status;

  ModelConfig config;
  const std::pair<const char*, void (ModelConfig::*)(uint32_t)> whole[] = {
      {"vocab_size", &ModelConfig::set_vocabulary_size},
      {"hidden_size", &ModelConfig::set_hidden_size},
      {"num_hidden_layers", &ModelConfig::set_layer_count},
      {"num_attention_heads", &ModelConfig::set_attention_heads},
      {"num_key_value_heads", &ModelConfig::set_key_value_heads},
      {"head_dim", &ModelConfig::set_head_dimension},
      {"intermediate_size", &ModelConfig::set_intermediate_size},
      {"max_position_embeddings", &ModelConfig::set_context_length}};
  for (const auto& [field, set] : whole) {
    absl::StatusOr<std::optional<double>> number = NumberAt(json, field, source);
    if (!number.ok()) return number.status();
    if (!number->has_value()) continue;
    if (**number < 0 || **number > 4e9 || **number != std::floor(**number)) {
      return absl::InvalidArgumentError(
          absl::StrCat(source, ": ", field, " ", **number, " is not a size"));
    }
    (config.*set)(static_cast<uint32_t>(**number));
  }
  if (config.key_value_heads() == 0) config.set_key_value_heads(config.attention_heads());
  if (config.head_dimension() == 0 && config.attention_heads() != 0) {
    config.set_head_dimension(type == "qwen3" ? 128
                                              : config.hidden_size() / config.attention_heads());
  }
  config.set_qk_norm(type == "qwen3");
  config.set_tied_embeddings(json.value("tie_word_embeddings", false));
  absl::StatusOr<double> theta = RopeTheta(json, source);
  if (!theta.ok()) return theta.status();
  config.set_rope_theta(*theta);
  absl::StatusOr<std::optional<double>> epsilon = NumberAt(json, "rms_norm_eps", source);
  if (!epsilon.ok()) return epsilon.status();
  config.set_norm_epsilon(epsilon->value_or(1e-6));
  if (absl::Status status = CheckModelConfig(config); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat(source, ": ", status.message()));
  }
  return config;
}

absl::StatusOr<ModelConfig> ReadHuggingFaceConfig(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/config.json");
  absl::StatusOr<std::string> text = ReadWholeFile(path, kJsonBytesMax);
  if (!text.ok()) return text.status();
  return ParseHuggingFaceConfig(*text, path);
}

namespace {

// model.safetensors, or the shards that the index names (file names only: nothing outside of the
// folder is read).
absl::StatusOr<std::vector<std::string>> WeightFiles(const std::string& folder) {
  const std::string single = absl::StrCat(folder, "/", kSingleFile);
  if (access(single.c_str(), F_OK) == 0) return std::vector<std::string>{single};
  const std::string index_path = absl::StrCat(folder, "/", kIndexFile);
  absl::StatusOr<std::string> text = ReadWholeFile(index_path, kJsonBytesMax);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": holds neither ", kSingleFile, " nor ", kIndexFile));
  }
  if (!text.ok()) return text.status();
  const Json index = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(index_path, ": a weight_map is expected"));
  }
  std::set<std::string> files;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || fs::path(name).filename().string() != name) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path, ": tensor ", tensor, " is not in a file of this folder"));
    }
    files.insert(absl::StrCat(folder, "/", name));
  }
  return std::vector<std::string>(files.begin(), files.end());
}

}  // namespace

absl::StatusOr<HuggingFaceModel> ReadHuggingFaceFolder(const std::string& folder) {
  absl::StatusOr<ModelConfig> config = ReadHuggingFaceConfig(folder);
  if (!config.ok()) return config.status();
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(*config);
  if (!layout.ok()) return layout.status();
  absl::StatusOr<std::vector<std::string>> files = WeightFiles(folder);
  if (!files.ok()) return files.status();
  absl::StatusOr<ParameterVector> vector = ReadSafetensors(*files, *layout);
  if (!vector.ok()) return vector.status();
  return HuggingFaceModel{
      .config = *std::move(config), .layout = *std::move(layout), .vector = *std::move(vector)};
}

const char* const kTokenizerFiles[4] = {"tokenizer.model", "tokenizer.json",
                                        "tokenizer_config.json", "special_tokens_map.json"};

namespace {

constexpr absl::string_view kGenerationConfig =
    "{\n  \"bos_token_id\": 1,\n  \"eos_token_id\": 2,\n  \"do_sample\": true,\n  \"temperature\": "
    "0.8,\n  \"top_k\": 50\n}\n";

// As `sha256sum` prints and checks it: digest, two spaces, name; sorted by name.
absl::Status WriteSha256Sums(const std::string& folder) {
  std::map<std::string, std::string> lines;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    absl::StatusOr<Digest> digest = Sha256OfFile(entry.path().string());
    if (!digest.ok()) return digest.status();
    const std::string name = entry.path().filename().string();
    lines[name] = absl::StrCat(ToHex(*digest), "  ", name, "\n");
  }
  std::string text;
  for (const auto& [name, line] : lines) text += line;
  return WriteFileDurably(absl::StrCat(folder, "/SHA256SUMS"), text);
}

absl::Status WriteFolderContents(
    const std::string& folder, const ModelConfig& config, absl::Span<const float> vector,
    const std::string& tokenizer_folder,
    absl::Span<const std::pair<std::string, std::string>> extra_files) {
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(config);
  if (!layout.ok()) return layout.status();
  if (absl::Status status = MakeDirectories(folder); !status.ok()) return status;
  const auto write = [&](absl::string_view name, absl::string_view text) {
    return WriteFileDurably(absl::StrCat(folder, "/", name), text);
  };
  if (absl::Status status = write("config.json", PrintHuggingFaceConfig(config)); !status.ok())
    return status;
  if (absl::Status status = write("generation_config.json", kGenerationConfig); !status.ok())
    return status;
  for (const char* name : kTokenizerFiles) {
    if (tokenizer_folder.empty()) break;
    absl::StatusOr<std::string> bytes = ReadWholeFile(absl::StrCat(tokenizer_folder, "/", name));
    if (!bytes.ok()) return bytes.status();
    if (absl::Status status = write(name, *bytes); !status.ok()) return status;
  }
  for (const auto& [name, text] : extra_files) {
    if (absl::Status status = write(name, text); !status.ok()) return status;
  }
  if (absl::Status status =
          WriteSafetensors(absl::StrCat(folder, "/", kSingleFile), *layout, vector);
      !status.ok()) {
    return status;
  }
  return WriteSha256Sums(folder);
}

}  // namespace

absl::Status WriteHuggingFaceFolder(
    const std::string& folder, const ModelConfig& config, absl::Span<const float> vector,
    const std::string& tokenizer_folder,
    absl::Span<const std::pair<std::string, std::string>> extra_files) {
  const fs::path target = fs::absolute(folder).lexically_normal();
  const std::string path = target.has_filename() ? target.string() : target.parent_path().string();
  std::error_code error;
  if (fs::exists(path, error))
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": is there already; a model folder is never overwritten"));
  const std::string temporary = absl::StrCat(path, ".", getpid(), kTemporarySuffix);
  fs::remove_all(temporary, error);
  absl::Status status =
      WriteFolderContents(temporary, config, vector, tokenizer_folder, extra_files);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0)
    status = ErrnoStatus("cannot give the finished folder its name", path);
  if (!status.ok()) {
    fs::remove_all(temporary, error);
    return status;
  }
  return SyncDirectory(fs::path(path).parent_path().string());
}

}  // namespace weft
