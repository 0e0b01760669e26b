// weft-eval: scores a model. See README.md.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "eval/model_folder.h"
#include "eval/questions.h"
#include "eval/report.h"
#include "eval/scorer.h"
#include "eval/text_score.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

constexpr char kExample[] = R"(
Examples:
  weft-eval run --model releases/round-000008 --text held_out.txt --json report.json
  weft-eval run --model model/ --text de=german.txt --text sw=swahili.txt --questions piqa=piqa.jsonl
)";

struct RunOptions {
  std::string model;
  std::vector<std::string> texts;
  std::vector<std::string> questions;
  std::string documents = "whole";
  std::string json;
  std::string device = "cpu";
  int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  int batch_size = 8;
  int context_length = 0;
};

struct NamedPath {
  std::string name;
  std::string path;
};

// NAME=PATH, or a path that is named by its file name. A path that exists is a path, even with "="
// in it.
absl::StatusOr<std::vector<NamedPath>> NamePaths(const std::vector<std::string>& arguments) {
  std::vector<NamedPath> named;
  std::set<std::string> names;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    const bool split =
        equals != std::string::npos && equals > 0 && !std::filesystem::exists(argument);
    const std::string path = split ? argument.substr(equals + 1) : argument;
    const std::string name =
        split ? argument.substr(0, equals) : std::filesystem::path(path).filename().string();
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two files are named \"", name, "\"; name them apart with NAME=", path));
    }
    named.push_back({.name = name, .path = path});
  }
  return named;
}

// How far a file is, on standard error: one line that is rewritten on a terminal, elsewhere a line
// now and then.
class Progress {
 public:
  void Begin(std::string what) {
    what_ = std::move(what);
    start_ = shown_ = absl::Now();
  }
  void Show(int64_t done, int64_t total) {
    const absl::Time now = absl::Now();
    if (now - shown_ < (terminal_ ? absl::Milliseconds(200) : absl::Seconds(10))) return;
    shown_ = now;
    const double seconds = absl::ToDoubleSeconds(now - start_);
    std::fprintf(stderr, "%sscoring %s: %lld of %lld tokens, %.0f tokens/s%s",
                 terminal_ ? "\r" : "", what_.c_str(), static_cast<long long>(done),
                 static_cast<long long>(total), static_cast<double>(done) / seconds,
                 terminal_ ? "\x1b[K" : "\n");
    written_ = true;
  }
  void End() {
    if (terminal_ && written_) std::fputs("\r\x1b[K", stderr);
    written_ = false;
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  bool written_ = false;
  std::string what_;
  absl::Time start_;
  absl::Time shown_;
};

absl::StatusOr<int32_t> ContextLength(const RunOptions& options, const ModelFolder& model) {
  const auto own = static_cast<int32_t>(model.config.context_length());
  if (options.context_length == 0) return own;
  if (options.context_length <= own) return options.context_length;
  return absl::InvalidArgumentError(absl::StrCat("--context-length ", options.context_length,
                                                 " is more than the ", own,
                                                 " positions that the model was made for"));
}

// Reads all inputs before anything is scored, so that a wrong file name shows at once.
struct Inputs {
  std::vector<Text> texts;
  std::vector<QuestionSet> questions;
};

absl::StatusOr<Inputs> ReadInputs(const RunOptions& options) {
  const Documents documents =
      options.documents == "whole" ? Documents::kWhole : Documents::kBlankLines;
  absl::StatusOr<std::vector<NamedPath>> texts = NamePaths(options.texts);
  if (!texts.ok()) return texts.status();
  absl::StatusOr<std::vector<NamedPath>> sets = NamePaths(options.questions);
  if (!sets.ok()) return sets.status();
  Inputs inputs;
  for (const NamedPath& file : *texts) {
    absl::StatusOr<Text> text = ReadText(file.name, file.path, documents);
    if (!text.ok()) return text.status();
    inputs.texts.push_back(*std::move(text));
  }
  for (const NamedPath& file : *sets) {
    absl::StatusOr<QuestionSet> set = ReadQuestions(file.name, file.path);
    if (!set.ok()) return set.status();
    inputs.questions.push_back(*std::move(set));
  }
  return inputs;
}

absl::StatusOr<Report> Score(const RunOptions& options) {
  absl::StatusOr<Inputs> inputs = ReadInputs(options);
  if (!inputs.ok()) return inputs.status();
  absl::StatusOr<ModelFolder> model =
      OpenModelFolder(options.model, options.device == "cuda" ? Device::kCuda : Device::kCpu);
  if (!model.ok()) return model.status();
  absl::StatusOr<int32_t> context_length = ContextLength(options, *model);
  if (!context_length.ok()) return context_length.status();

  Progress progress;
  const Scorer scorer(model->Scores(), {.batch_size = options.batch_size,
                                        .progress = [&progress](int64_t done, int64_t total) {
                                          progress.Show(done, total);
                                        }});
  Report report{.model = Summarize(*model),
                .settings = {.context_length = *context_length,
                             .batch_size = options.batch_size,
                             .threads = options.threads,
                             .device = options.device,
                             .documents = options.documents}};
  for (const Text& text : inputs->texts) {
    progress.Begin(text.name);
    absl::StatusOr<TextScore> score = ScoreText(text, *model->tokenizer, *context_length, scorer);
    progress.End();
    if (!score.ok()) return score.status();
    report.texts.push_back(*std::move(score));
  }
  for (const QuestionSet& set : inputs->questions) {
    progress.Begin(set.name);
    absl::StatusOr<QuestionScore> score =
        ScoreQuestions(set, *model->tokenizer, *context_length, scorer);
    progress.End();
    if (!score.ok()) return score.status();
    report.questions.push_back(*std::move(score));
  }
  return report;
}

absl::Status Run(const RunOptions& options) {
  SetComputeThreads(options.threads);
  absl::StatusOr<Report> report = Score(options);
  if (!report.ok()) return report.status();
  const std::string json = PrintJson(*report);
  std::fputs((options.json == "-" ? json : PrintTables(*report)).c_str(), stdout);
  if (options.json.empty() || options.json == "-") return absl::OkStatus();
  return WriteFileDurably(options.json, json);
}

void AddRun(CLI::App* app, RunOptions* options) {
  CLI::App* run = app->add_subcommand(
      "run", "Bits per byte of texts, and accuracy on multiple-choice questions, of one model");
  run->footer(kExample);
  run->add_option("--model", options->model,
                  "A release, or another Hugging Face folder with its tokenizer.model")
      ->required();
  run->add_option("--text", options->texts, "[NAME=]FILE of text in UTF-8; may be given again");
  run->add_option("--documents", options->documents,
                  "What a document is: the \"whole\" file, or what lies between \"blank-lines\"")
      ->check(CLI::IsMember({"whole", "blank-lines"}))
      ->capture_default_str();
  run->add_option("--questions", options->questions,
                  "[NAME=]FILE with a line {\"prompt\": ..., \"choices\": [...], \"answer\": 0} a "
                  "question; may be "
                  "given again");
  run->add_option("--json", options->json,
                  "Also write the report as JSON here; \"-\": print it instead of tables");
  run->add_option("--batch", options->batch_size,
                  "Windows that are scored together: more needs more memory")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  run->add_option("--threads", options->threads, "Threads to compute with")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  run->add_option("--context-length", options->context_length,
                  "Length of the windows in tokens, at most (and if left out) the model's own")
      ->check(CLI::Range(1, 1 << 24));
  run->add_option("--device", options->device, "Where to compute")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
}

int Main(int argc, char** argv) {
  CLI::App app("Scores a model: bits per byte of texts, accuracy on multiple-choice questions.",
               "weft-eval");
  app.footer(kExample);
  app.require_subcommand(1);
  RunOptions options;
  AddRun(&app, &options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.texts.empty() && options.questions.empty()) {
    std::fputs("weft-eval: nothing to score: give --text FILE or --questions FILE\n", stderr);
    return 2;
  }
  const absl::Status status = Run(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "weft-eval: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) { return weft::Main(argc, argv); }
