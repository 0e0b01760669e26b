// weft-model init: a new model with random weights, the consensus of version 0.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/commands.h"
#include "model/config_flags.h"
#include "model/formats/huggingface.h"
#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace weft {
namespace {

struct InitOptions {
  std::string out;
  std::string tokenizer;
  uint64_t seed = 0;
  ConfigFlags flags;
};

// The vocabulary covers the tokenizer's, padded to a multiple of 128 (converters and matrix
// products like it so).
absl::Status FitVocabulary(const InitOptions& options, ModelConfig* config) {
  if (!options.tokenizer.empty()) {
    absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = LoadTokenizer(options.tokenizer);
    if (!tokenizer.ok()) return tokenizer.status();
    const uint32_t pieces = static_cast<uint32_t>((*tokenizer)->vocabulary_size());
    if (!options.flags.vocabulary_given()) config->set_vocabulary_size((pieces + 127) / 128 * 128);
    if (config->vocabulary_size() < pieces) {
      return absl::InvalidArgumentError(
          absl::StrCat("--vocabulary-size ", config->vocabulary_size(), " is less than the ",
                       pieces, " pieces of ", options.tokenizer));
    }
  }
  const uint32_t size = config->vocabulary_size();
  if (size % 128 != 0 || size == 32016 || size == 49152) {
    return absl::InvalidArgumentError(
        absl::StrCat("--vocabulary-size is ", size,
                     "; it must be a multiple of 128, and neither 32016 nor 49152, which "
                     "converters take for other models"));
  }
  return absl::OkStatus();
}

absl::Status Init(const InitOptions& options) {
  ModelConfig config = options.flags.config;
  if (absl::Status status = FitVocabulary(options, &config); !status.ok()) return status;
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(config);
  if (!layout.ok()) return layout.status();
  ParameterVector vector(layout->element_count());
  InitializeParameters(*layout, options.seed, vector.span());
  absl::Status status =
      WriteHuggingFaceFolder(options.out, config, vector.span(), options.tokenizer);
  if (!status.ok()) return status;
  std::cout << options.out << ": " << layout->element_count() << " parameters in "
            << layout->tensors().size() << " tensors, vocabulary " << config.vocabulary_size()
            << ", layout " << ToHex(layout->digest()) << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddInitCommand(CLI::App* program, Action* action) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* command = program->add_subcommand(
      "init",
      "Makes a Hugging Face folder with random weights; the same seed gives the same bytes");
  command->add_option("--out", options->out, "folder to make; must not exist")->required();
  command->add_option("--tokenizer", options->tokenizer,
                      "tokenizer folder to copy; sets the vocabulary size unless it is given");
  command->add_option("--seed", options->seed, "of the weights")->capture_default_str();
  options->flags.AddTo(command);
  command->footer(
      "Example:\n  weft-model init --tokenizer tokenizer --out initial --seed 1 "
      "--hidden 128 --layers 4");
  command->callback([=] { *action = [=] { return Init(*options); }; });
}

}  // namespace weft
