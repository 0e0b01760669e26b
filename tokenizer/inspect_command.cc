#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/digest.h"
#include "tokenizer/commands.h"
#include "tokenizer/shard_manifest.h"
#include "tokenizer/token_shard_reader.h"
#include "tokenizer/tokenizer.h"

namespace weft {
namespace {

struct InspectArguments {
  std::string folder;
  std::string tokenizer;
  int64_t document = -1;
  bool json = false;
};

absl::Status CheckDigest(const std::string& path, const std::string& expected) {
  absl::StatusOr<Digest> digest = Sha256OfFile(path);
  if (!digest.ok()) return digest.status();
  if (ToHex(*digest) == expected) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(path, ": SHA-256 is ", ToHex(*digest), ", ", kShardManifestFile, " says ",
                   expected, ": the file was changed or damaged; prepare the text again"));
}

// Every shard is what the manifest says: its digest and its counts.
absl::Status CheckShards(const std::string& folder, const ShardManifest& manifest,
                         const ShardSplit& split) {
  for (const ShardEntry& entry : split.shards) {
    const std::string path = absl::StrCat(folder, "/", entry.file);
    if (absl::Status status = CheckDigest(path, entry.sha256); !status.ok()) return status;
    absl::StatusOr<std::unique_ptr<TokenShard>> shard = TokenShard::Open(path);
    if (!shard.ok()) return shard.status();
    if ((*shard)->token_count() != entry.tokens || (*shard)->document_count() != entry.documents) {
      return absl::DataLossError(
          absl::StrCat(path, ": other counts than ", kShardManifestFile, " says"));
    }
  }
  return absl::OkStatus();
}

// Documents are counted over the training shards, then the held-out ones.
absl::Status PrintDocument(const InspectArguments& arguments, const ShardManifest& manifest) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = LoadTokenizer(arguments.tokenizer);
  if (!tokenizer.ok()) return tokenizer.status();
  if ((*tokenizer)->model_sha256() != manifest.tokenizer_sha256) {
    return absl::InvalidArgumentError(absl::StrCat(
        arguments.tokenizer, ": another tokenizer than the shards were prepared with"));
  }
  auto left = static_cast<uint64_t>(arguments.document);
  for (const ShardSplit* split : {&manifest.train, &manifest.held_out}) {
    for (const ShardEntry& entry : split->shards) {
      if (left >= entry.documents) {
        left -= entry.documents;
        continue;
      }
      absl::StatusOr<std::unique_ptr<TokenShard>> shard =
          TokenShard::Open(absl::StrCat(arguments.folder, "/", entry.file));
      if (!shard.ok()) return shard.status();
      const uint64_t begin = (*shard)->DocumentStart(left);
      std::vector<int32_t> ids((*shard)->DocumentEnd(left) - begin);
      (*shard)->Read(begin, absl::MakeSpan(ids));
      std::cout << (*tokenizer)->Decode(ids) << "\n";
      return absl::OkStatus();
    }
  }
  return absl::OutOfRangeError(
      absl::StrCat("there is no document ", arguments.document, ": the folder holds ",
                   manifest.train.documents + manifest.held_out.documents, ", counted from 0"));
}

absl::Status Inspect(const InspectArguments& arguments) {
  absl::StatusOr<ShardManifest> manifest = ReadShardManifest(arguments.folder);
  if (!manifest.ok()) return manifest.status();
  for (const ShardSplit* split : {&manifest->train, &manifest->held_out}) {
    if (absl::Status status = CheckShards(arguments.folder, *manifest, *split); !status.ok())
      return status;
  }
  const absl::Status held_out_text = CheckDigest(
      absl::StrCat(arguments.folder, "/", kHeldOutTextFile), manifest->held_out_text_sha256);
  if (!held_out_text.ok()) return held_out_text;
  if (arguments.document >= 0) return PrintDocument(arguments, *manifest);
  if (arguments.json) {
    std::cout << PrintShardManifest(*manifest);
    return absl::OkStatus();
  }
  std::cout << arguments.folder << ": sound, "
            << manifest->train.shards.size() + manifest->held_out.shards.size() << " shards\n"
            << "tokenizer: " << manifest->tokenizer_sha256 << ", vocabulary "
            << manifest->vocabulary_size << "\n";
  for (const auto& [name, split] :
       {std::pair("train", &manifest->train), std::pair("held out", &manifest->held_out)}) {
    std::cout << name << ": " << split->documents << " documents, " << split->bytes << " bytes, "
              << split->tokens << " tokens\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddInspectCommand(CLI::App* program, Action* action) {
  auto arguments = std::make_shared<InspectArguments>();
  CLI::App* command =
      program->add_subcommand("inspect", "Verify a folder of token shards, and show what it holds");
  command->add_option("folder", arguments->folder)->required();
  CLI::Option* tokenizer =
      command->add_option("--tokenizer", arguments->tokenizer, "folder with tokenizer.model");
  command
      ->add_option("--document", arguments->document,
                   "print this document's text (counted from 0; needs --tokenizer)")
      ->check(CLI::NonNegativeNumber)
      ->needs(tokenizer);
  command->add_flag("--json", arguments->json, "the manifest as JSON");
  command->callback([=] { *action = [=] { return Inspect(*arguments); }; });
}

}  // namespace weft
