#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tokenizer/commands.h"
#include "tokenizer/token_shard_writer.h"

namespace weft {
namespace {

struct PrepareArguments {
  std::vector<std::string> inputs;
  std::string tokenizer;
  std::string out;
  ShardOptions shards;
  DocumentOptions documents;
};

void PrintSummary(const ShardManifest& manifest, const DocumentCounts& counts,
                  uint64_t largest_document, const std::string& out) {
  const auto line = [](const char* name, const ShardSplit& split) {
    std::cout << absl::StrFormat(
        "%-9s %d documents, %d bytes, %d tokens (%.2f bytes a token)\n", name, split.documents,
        split.bytes, split.tokens,
        split.tokens == 0 ? 0.0
                          : static_cast<double>(split.bytes) / static_cast<double>(split.tokens));
  };
  line("train:", manifest.train);
  line("held out:", manifest.held_out);
  if (counts.empty > 0)
    std::cout << "empty:    " << counts.empty << " documents of white space only, left out\n";
  if (counts.skipped > 0)
    std::cout << "skipped:  " << counts.skipped << " bad documents, first " << counts.first_skipped
              << "\n";
  if (manifest.lower_one_eighth_blocks > 0) {
    std::cout << "note:     the text holds U+2581 " << manifest.lower_one_eighth_blocks
              << " times; it comes back as a space\n";
  }
  if (largest_document > (manifest.train.bytes + manifest.held_out.bytes) / 2) {
    std::cout << "note:     one document of " << largest_document
              << " bytes is most of the text, and is on one side of the split as a whole; "
                 "--documents lines makes each line of a .txt file a document\n";
  }
  std::cout << "written:  " << out << "\n";
}

absl::Status Prepare(const PrepareArguments& arguments) {
  absl::StatusOr<std::vector<std::string>> files = ListTextFiles(arguments.inputs);
  if (!files.ok()) return files.status();
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = LoadTokenizer(arguments.tokenizer);
  if (!tokenizer.ok()) return tokenizer.status();
  absl::StatusOr<std::unique_ptr<TokenShardWriter>> writer =
      TokenShardWriter::Create(arguments.out, **tokenizer, arguments.shards);
  if (!writer.ok()) return writer.status();
  DocumentCounts counts;
  uint64_t largest_document = 0;
  const auto take = [&](absl::string_view text) {
    largest_document = std::max<uint64_t>(largest_document, text.size());
    return (*writer)->Add(text);
  };
  if (absl::Status status = ReadDocuments(*files, arguments.documents, take, &counts); !status.ok())
    return status;
  (*writer)->SetInputCounts(counts.empty, counts.skipped);
  absl::StatusOr<ShardManifest> manifest = (*writer)->Finish();
  if (!manifest.ok()) return manifest.status();
  PrintSummary(*manifest, counts, largest_document, arguments.out);
  return absl::OkStatus();
}

}  // namespace

void AddPrepareCommand(CLI::App* program, Action* action) {
  auto arguments = std::make_shared<PrepareArguments>();
  CLI::App* command = program->add_subcommand(
      "prepare", "Turn private text into token shards with a held-out split");
  command->add_option("inputs", arguments->inputs, ".txt and .jsonl files, and folders of them")
      ->required();
  command->add_option("--tokenizer", arguments->tokenizer, "folder with tokenizer.model")
      ->required();
  command->add_option("--out", arguments->out, "folder to make")->required();
  command
      ->add_option("--held-out", arguments->shards.held_out,
                   "share of the documents that is never trained on; 0: none")
      ->capture_default_str();
  command
      ->add_option("--shard-tokens-max", arguments->shards.shard_tokens_max,
                   "tokens after which a new shard file begins")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  AddDocumentOptions(command, &arguments->documents);
  command->callback([=] { *action = [=] { return Prepare(*arguments); }; });
}

}  // namespace weft
