// weft-model import and export: between the forms in which a model's parameters lie on disk.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/commands.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"

namespace weft {
namespace {

// The folder, if the tokenizer's files are in it; else nothing. A folder with some of them is
// refused by the writer.
std::string TokenizerIn(const std::string& folder) {
  std::error_code error;
  return std::filesystem::exists(folder + "/tokenizer.model", error) ? folder : "";
}

absl::Status Write(const std::string& out, const ModelConfig& config, const ParameterVector& vector,
                   const std::string& tokenizer) {
  absl::Status status = WriteHuggingFaceFolder(out, config, vector.span(), tokenizer);
  if (!status.ok()) return status;
  std::cout << out << ": " << vector.size() << " parameters, "
            << (tokenizer.empty() ? "no tokenizer" : "tokenizer from " + tokenizer) << "\n";
  return absl::OkStatus();
}

absl::Status Export(const std::string& vector_path, const std::string& config_folder,
                    const std::string& tokenizer, const std::string& out) {
  absl::StatusOr<ModelConfig> config = ReadHuggingFaceConfig(config_folder);
  if (!config.ok()) return config.status();
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(*config);
  if (!layout.ok()) return layout.status();
  absl::StatusOr<ParameterVector> vector = ReadParameters(vector_path, layout->digest());
  if (!vector.ok()) return vector.status();
  return Write(out, *config, *vector, tokenizer.empty() ? TokenizerIn(config_folder) : tokenizer);
}

absl::Status Import(const std::string& from, const std::string& out) {
  absl::StatusOr<HuggingFaceModel> model = ReadHuggingFaceFolder(from);
  if (!model.ok()) return model.status();
  return Write(out, model->config, model->vector, TokenizerIn(from));
}

}  // namespace

void AddConvertCommands(CLI::App* program, Action* action) {
  struct Options {
    std::string vector, config, tokenizer, from, out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* to_folder = program->add_subcommand(
      "export", "Writes a parameter vector (a parameters_fp32 blob) as a Hugging Face folder");
  to_folder->add_option("--vector", options->vector, "the blob's file")->required();
  to_folder
      ->add_option("--config", options->config,
                   "folder with the config.json of this model, and its tokenizer if it has one")
      ->required();
  to_folder->add_option("--tokenizer", options->tokenizer, "tokenizer folder to copy instead");
  to_folder->add_option("--out", options->out, "folder to make; must not exist")->required();
  to_folder->footer(
      "Example:\n  weft-model export --vector site/blobs/3f1c... --config initial --out exported");
  to_folder->callback([=] {
    *action = [=] {
      return Export(options->vector, options->config, options->tokenizer, options->out);
    };
  });

  CLI::App* import = program->add_subcommand(
      "import",
      "Rewrites a Hugging Face folder (Qwen3 or Llama; single file or shards; fp32, fp16 "
      "or bf16) in Weft's own form: fp32, one file, layout order");
  import->add_option("--from", options->from, "the folder to read")->required();
  import->add_option("--out", options->out, "folder to make; must not exist")->required();
  import->footer("Example:\n  weft-model import --from downloaded --out initial");
  import->callback([=] { *action = [=] { return Import(options->from, options->out);
};
}  // namespace weft
);
}

}  // namespace weft
