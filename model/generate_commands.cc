// weft-model generate and logits: what a model says.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "model/commands.h"
#include "model/formats/huggingface.h"
#include "model/generate.h"
#include "model/token_check.h"
#include "model/transformer.h"
#include "proto/durable_file.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace weft {
namespace {

struct Options {
  std::string model, prompt, ids, out, device = "cpu";
  int threads = 1;
  GenerateOptions generate;
};

absl::StatusOr<std::unique_ptr<Transformer>> LoadModel(const Options& options) {
  SetComputeThreads(options.threads);
  absl::StatusOr<HuggingFaceModel> files = ReadHuggingFaceFolder(options.model);
  if (!files.ok()) return files.status();
  absl::StatusOr<std::unique_ptr<Transformer>> transformer =
      Transformer::Create(files->config, options.device == "cuda" ? Device::kCuda : Device::kCpu);
  if (transformer.ok()) (*transformer)->LoadParameters(files->vector.span());
  return transformer;
}

// Prints the text of the tokens as they come. A token can be one byte of a character: bytes wait
// until their character is whole; those that never make one are printed as U+FFFD.
class TextStream {
 public:
  explicit TextStream(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}
  void Add(int32_t token) {
    tokens_.push_back(token);
    Print(/*last=*/false);
  }
  void Finish() {
    Print(/*last=*/true);
    std::cout << std::endl;
  }

 private:
  void Print(bool last) {
    constexpr size_t kCharacterBytesMax = 4;
    const std::string text = tokenizer_->Decode(tokens_);
    while (printed_ < text.size()) {
      const absl::string_view rest = absl::string_view(text).substr(printed_);
      const size_t sound = ValidUtf8Prefix(rest);
      std::cout << rest.substr(0, sound);
      printed_ += sound;
      if (sound == rest.size()) break;
      if (!last && rest.size() - sound < kCharacterBytesMax) break;
      std::cout << "\xef\xbf\xbd";
      ++printed_;
    }
    std::cout << std::flush;
  }
  const Tokenizer* tokenizer_;
  std::vector<int32_t> tokens_;
  size_t printed_ = 0;
};

absl::Status GenerateText(const Options& options) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = LoadTokenizer(options.model);
  if (!tokenizer.ok()) return tokenizer.status();
  absl::StatusOr<std::unique_ptr<Transformer>> model = LoadModel(options);
  if (!model.ok()) return model.status();
  std::vector<int32_t> prompt = {kBeginId};
  for (const int32_t id : (*tokenizer)->Encode(options.prompt)) prompt.push_back(id);
  std::cout << options.prompt << std::flush;
  TextStream stream(tokenizer->get());
  const absl::Status status = Generate(model->get(), prompt, options.generate, [&](int32_t token) {
                                stream.Add(token);
                              }).status();
  stream.Finish();
  return status;
}

absl::StatusOr<std::vector<int32_t>> ParseIds(absl::string_view line, const std::string& where) {
  std::vector<int32_t> ids;
  for (const absl::string_view word : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
    int32_t id;
    if (!absl::SimpleAtoi(word, &id)) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": '", word, "' is not a token id"));
    }
    ids.push_back(id);
  }
  return ids;
}

absl::Status WriteLogits(const Options& options) {
  absl::StatusOr<std::string> text = ReadWholeFile(options.ids);
  if (!text.ok()) return text.status();
  absl::StatusOr<std::unique_ptr<Transformer>> model = LoadModel(options);
  if (!model.ok()) return model.status();
  absl::StatusOr<std::unique_ptr<DurableFile>> file = DurableFile::Create(options.out);
  if (!file.ok()) return file.status();
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::string where = absl::StrCat(options.ids, ":", ++number);
    absl::StatusOr<std::vector<int32_t>> ids = ParseIds(line, where);
    if (!ids.ok()) return ids.status();
    if (ids->empty()) continue;
    if (absl::Status status = CheckTokens((*model)->config(), *ids); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": ", status.message()));
    }
    const std::vector<float> logits = (*model)->Logits(*ids);
    absl::Status status = (*file)->Append(
        {reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float)});
    if (!status.ok()) return status;
  }
  return (*file)->Commit();
}

void AddModelOptions(CLI::App* command, Options* options) {
  command->add_option("--model", options->model, "Hugging Face folder")->required();
  command->add_option("--threads", options->threads, "threads to compute with")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--device", options->device, "where to compute")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
}

}  // namespace

void AddGenerateCommands(CLI::App* program, Action* action) {
  auto options = std::make_shared<Options>();
  options->generate.end_token = kEndId;
  CLI::App* generate = program->add_subcommand("generate", "Continues a text, printing as it goes");
  AddModelOptions(generate, options.get());
  GenerateOptions* sampling = &options->generate;
  generate->add_option("--prompt", options->prompt, "text to continue; may be empty");
  generate->add_option("--tokens", sampling->token_count_max, "at most so many tokens")
      ->capture_default_str();
  generate->add_option("--temperature", sampling->temperature, "0: the likeliest token, always")
      ->capture_default_str();
  generate->add_option("--top-k", sampling->top_k, "only the k likeliest tokens; 0: all")
      ->capture_default_str();
  generate->add_option("--top-p", sampling->top_p, "only the likeliest that reach p together")
      ->capture_default_str();
  generate->add_option("--seed", sampling->seed, "the same seed gives the same text")
      ->capture_default_str();
  generate->footer(
      "Example:\n  weft-model generate --model release --prompt 'Once upon' --tokens 50 "
      "--temperature 0.8 --top-k 50");
  generate->callback([=] { *action = [=] { return GenerateText(*options); }; });

  CLI::App* logits = program->add_subcommand(
      "logits", "Writes the logits of given tokens, to compare implementations");
  AddModelOptions(logits, options.get());
  logits->add_option("--ids", options->ids, "text file: on each line the token ids of a sequence")
      ->required();
  logits
      ->add_option("--out", options->out,
                   "file to write: for each token in turn one fp32 (little-endian) for each id of "
                   "the vocabulary")
      ->required();
  logits->footer("Example:\n  weft-model logits --model release --ids ids.txt --out logits.f32");
  logits->callback([=] { *action = [=] { return WriteLogits(*options); }; });
}

}  // namespace weft
