// weft-model inspect and layout: what a folder or a vector file holds.
#include <CLI/CLI.hpp>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kernels/vector_ops.h"
#include "model/commands.h"
#include "model/config_flags.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"

namespace weft {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kBlockElements = uint64_t{1} << 20;

// With `vector`: the norm of each tensor too.
Json Tensors(const ParameterLayout& layout, const float* vector) {
  Json tensors = Json::array();
  for (const TensorSpec& tensor : layout.tensors()) {
    Json one = {{"name", tensor.name},
                {"shape", tensor.shape},
                {"offset", tensor.offset},
                {"elements", tensor.size}};
    if (vector != nullptr) {
      one["norm"] =
          std::sqrt(kernels::SquaredDistance(vector + tensor.offset, nullptr, tensor.size));
      one["finite"] = kernels::FirstNotFinite(vector + tensor.offset, tensor.size) == tensor.size;
    }
    tensors.push_back(std::move(one));
  }
  return tensors;
}

absl::StatusOr<Json> DescribeFolder(const std::string& folder) {
  absl::StatusOr<HuggingFaceModel> model = ReadHuggingFaceFolder(folder);
  if (!model.ok()) return model.status();
  // The name that this vector has as a consensus: the digest of its blob.
  BlobHasher hasher;
  hasher.Update(PrintVectorHeader({.encoding = Encoding::kParametersFp32,
                                   .element_count = model->layout.element_count(),
                                   .layout = model->layout.digest()}));
  hasher.Update(
      {reinterpret_cast<const char*>(model->vector.data()), model->vector.size() * sizeof(float)});
  return Json{{"kind", model->config.qk_norm() ? "Qwen3ForCausalLM" : "LlamaForCausalLM"},
              {"elements", model->layout.element_count()},
              {"layout_digest", ToHex(model->layout.digest())},
              {"parameters_fp32_digest", ToHex(hasher.Finish())},
              {"norm", std::sqrt(kernels::SquaredDistance(model->vector.data(), nullptr,
                                                          model->vector.size()))},
              {"tensors", Tensors(model->layout, model->vector.data())}};
}

absl::StatusOr<Json> DescribeVector(const std::string& path) {
  absl::StatusOr<VectorReader> reader = VectorReader::Open(path);
  if (!reader.ok()) return reader.status();
  const VectorHeader& header = reader->header();
  Json result = {{"kind", EncodingName(header.encoding)},
                 {"elements", header.element_count},
                 {"layout_digest", ToHex(header.layout)},
                 {"fragment", header.fragment},
                 {"fragment_count", header.fragment_count}};
  const bool delta = IsDelta(header.encoding);
  if (delta) result["base_digest"] = ToHex(header.base);
  std::vector<float> block, zeros;
  double squares = 0;
  for (uint64_t begin = 0; begin < header.element_count; begin += kBlockElements) {
    block.resize(std::min(kBlockElements, header.element_count - begin));
    zeros.assign(delta ? block.size() : 0, 0.0f);  // a delta read against zeros is itself
    absl::Status status = reader->Read(begin, zeros, absl::MakeSpan(block));
    if (!status.ok()) return status;
    squares += kernels::SquaredDistance(block.data(), nullptr, block.size());
  }
  result["norm"] = std::sqrt(squares);
  return result;
}

void Print(const Json& description, bool json) {
  if (json) {
    std::cout << description.dump(2) << "\n";
    return;
  }
  for (const auto& [key, value] : description.items()) {
    if (key != "tensors") {
      std::cout << key << ": " << (value.is_string() ? value.get<std::string>() : value.dump())
                << "\n";
    }
  }
  if (!description.contains("tensors")) return;
  for (const Json& tensor : description["tensors"]) {
    const auto shape = tensor["shape"].get<std::vector<int64_t>>();
    std::cout << absl::StreamFormat("  %-48s %12s %10d at %d", tensor["name"].get<std::string>(),
                                    absl::StrJoin(shape, " x "), tensor["elements"].get<int64_t>(),
                                    tensor["offset"].get<int64_t>());
    if (tensor.contains("norm")) {
      std::cout << absl::StreamFormat("  norm %g%s", tensor["norm"].get<double>(),
                                      tensor["finite"].get<bool>() ? "" : "  NOT FINITE");
    }
    std::cout << "\n";
  }
}

absl::Status Inspect(const std::string& path, bool json) {
  std::error_code error;
  absl::StatusOr<Json> description =
      std::filesystem::is_directory(path, error) ? DescribeFolder(path) : DescribeVector(path);
  if (!description.ok()) return description.status();
  Print(*description, json);
  return absl::OkStatus();
}

absl::Status Layout(const std::string& folder, ModelConfig config, bool json) {
  if (!folder.empty()) {
    absl::StatusOr<ModelConfig> read = ReadHuggingFaceConfig(folder);
    if (!read.ok()) return read.status();
    config = *read;
  }
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(config);
  if (!layout.ok()) return layout.status();
  Print({{"layout_digest", ToHex(layout->digest())},
         {"elements", layout->element_count()},
         {"tensors", Tensors(*layout, nullptr)}},
        json);
  return absl::OkStatus();
}

}  // namespace

void AddInspectCommands(CLI::App* program, Action* action) {
  struct Options {
    std::string path, config;
    ConfigFlags flags;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* inspect = program->add_subcommand(
      "inspect", "Shows tensors, counts, digests and norms of a model folder or a vector file");
  inspect->add_option("path", options->path, "a Hugging Face folder, or a blob of parameters")
      ->required();
  inspect->add_flag("--json", options->json, "as JSON");
  inspect->footer("Example:\n  weft-model inspect initial --json");
  inspect->callback([=] { *action = [=] { return Inspect(options->path, options->json); }; });

  CLI::App* layout = program->add_subcommand(
      "layout", "Shows where each tensor lies in the parameter vector, and the layout's digest");
  layout->add_option("--config", options->config,
                     "folder with a config.json; without it, the flags below describe the model");
  options->flags.AddTo(layout);
  layout->add_flag("--json", options->json, "as JSON");
  layout->footer("Example:\n  weft-model layout --config initial");
  layout->callback([=] {
    *action = [=] { return Layout(options->config, options->flags.config, options->json); };
  });
}

}  // namespace weft
