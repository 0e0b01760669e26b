#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <memory>

#include "tokenizer/commands.h"
#include "tokenizer/tokenizer_files.h"
#include "tokenizer/train_tokenizer.h"

namespace weft {
namespace {

struct TrainArguments {
  std::vector<std::string> inputs;
  std::string out;
  TrainTokenizerOptions options;
};

absl::Status Train(const TrainArguments& arguments) {
  if (absl::Status status = CheckFolderIsNew(arguments.out); !status.ok()) return status;
  absl::StatusOr<TrainedTokenizer> trained = TrainTokenizer(arguments.inputs, arguments.options);
  if (!trained.ok()) return trained.status();
  if (absl::Status status = WriteTokenizerFolder(arguments.out, trained->model); !status.ok())
    return status;
  std::cout << "tokenizer: " << arguments.options.vocabulary_size << " pieces, learned from "
            << trained->counts.documents << " documents, " << trained->counts.bytes << " bytes\n"
            << "characters: " << trained->distinct_characters << " different ones; "
            << 100 * trained->character_coverage
            << " % of the text has pieces of its own, the rest is spelled in bytes\n";
  if (trained->counts.skipped > 0)
    std::cout << "skipped: " << trained->counts.skipped << ", first "
              << trained->counts.first_skipped << "\n";
  std::cout << "written: " << arguments.out << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddDocumentOptions(CLI::App* command, DocumentOptions* options) {
  command->add_option("--field", options->field, "of each JSON line: the field that holds the text")
      ->capture_default_str();
  const std::map<std::string, TextDocuments> forms = {{"auto", TextDocuments::kAuto},
                                                      {"blank-lines", TextDocuments::kBlankLines},
                                                      {"lines", TextDocuments::kLines}};
  command
      ->add_option("--documents", options->text_documents,
                   "of .txt files: separated by blank-lines, or one a line (lines); auto (the "
                   "default): by blank lines where "
                   "the first MiB of the file has one")
      ->transform(CLI::CheckedTransformer(forms, CLI::ignore_case));
  command
      ->add_option("--line-bytes-max", options->line_bytes_max, "a longer line or document is bad")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_flag("--skip-bad", options->skip_bad,
                    "count and skip what is not UTF-8, not JSON, has no such field or is too long");
}

void AddTrainCommand(CLI::App* program, Action* action) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = program->add_subcommand(
      "train", "Train a SentencePiece BPE tokenizer on text that may be public");
  command->add_option("inputs", arguments->inputs, ".txt and .jsonl files, and folders of them")
      ->required();
  command->add_option("--out", arguments->out, "folder to make")->required();
  command
      ->add_option("--vocabulary", arguments->options.vocabulary_size,
                   "pieces: a multiple of 128, and the model's vocabulary")
      ->capture_default_str();
  command->add_option("--character-coverage", arguments->options.character_coverage,
                      "share of the text's characters that get pieces; 0 (the default) chooses it: "
                      "0.9999, or less where "
                      "characters would take more than half of the vocabulary");
  command
      ->add_option("--sample-bytes", arguments->options.sample_bytes,
                   "at most so much text of each input")
      ->capture_default_str();
  AddDocumentOptions(command, &arguments->options.documents);
  command->callback([=] { *action = [=] { return Train(*arguments); }; });
}

}  // namespace weft
