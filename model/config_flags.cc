#include "model/config_flags.h"

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace weft {
namespace {

// A flag that sets a field of a message, and shows its default in the help.
template <typename T>
CLI::Option* Field(CLI::App* command, const std::string& flag, ModelConfig* config,
                   void (ModelConfig::*set)(T), T initial, const std::string& description) {
  (config->*set)(initial);
  const std::function<void(const T&)> store = [config, set](const T& value) {
    (config->*set)(value);
  };
  return command->add_option_function<T>(flag, store, description)
      ->default_str(CLI::detail::to_string(initial));
}

}  // namespace

void ConfigFlags::AddTo(CLI::App* command) {
  using C = ModelConfig;
  const auto count = [&](const std::string& flag, void (C::*set)(uint32_t), uint32_t initial,
                         const std::string& description) {
    return Field<uint32_t>(command, flag, &config, set, initial, description);
  };
  vocabulary_ = count("--vocabulary-size", &C::set_vocabulary_size, 2048, "a multiple of 128");
  count("--hidden", &C::set_hidden_size, 128, "width of the residual stream");
  count("--layers", &C::set_layer_count, 4, "transformer blocks");
  count("--heads", &C::set_attention_heads, 4, "attention heads");
  count("--kv-heads", &C::set_key_value_heads, 2, "key and value heads; divides --heads");
  count("--head-dimension", &C::set_head_dimension, 32, "width of a head; even");
  count("--intermediate", &C::set_intermediate_size, 384, "width of the SwiGLU layer");
  count("--context", &C::set_context_length, 256, "tokens the model can look at");
  Field<double>(command, "--rope-theta", &config, &C::set_rope_theta, 500000.0,
                "base of the rotary angles");
  Field<double>(command, "--norm-epsilon", &config, &C::set_norm_epsilon, 1e-6, "of RMSNorm");
  config.set_qk_norm(true);
  config.set_tied_embeddings(true);
  command->add_flag_callback(
      "--no-qk-norm", [this] { config.set_qk_norm(false); }, "Llama form instead of Qwen3 form");
  command->add_flag_callback(
      "--untied", [this] { config.set_tied_embeddings(false); },
      "an output matrix of its own instead of the embedding");
}

bool ConfigFlags::vocabulary_given() const {
  return vocabulary_ != nullptr && !vocabulary_->empty();
}

}  // namespace weft
