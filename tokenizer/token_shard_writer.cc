#include "tokenizer/token_shard_writer.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/check.h"
#include "tokenizer/token_shard_format.h"
#include "tokenizer/utf8.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kDocumentsHint =
    " (--documents lines makes each line of a .txt file a document)";

bool IsHeldOut(absl::string_view text, double share) {
  Sha256Hasher hasher;
  hasher.Update("weft-held-out-1");
  hasher.Update(text);
  const Digest digest = hasher.Finish();
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | digest[static_cast<size_t>(i)];
  return static_cast<double>(value) * 0x1p-64 < share;
}

}  // namespace

TokenShardWriter::TokenShardWriter(std::string folder, const Tokenizer& tokenizer,
                                   ShardOptions options)
    : folder_(std::move(folder)),
      temporary_(absl::StrCat(folder_, ".", getpid(), kTemporarySuffix)),
      tokenizer_(tokenizer),
      options_(options) {
  manifest_.tokenizer_sha256 = tokenizer.model_sha256();
  manifest_.vocabulary_size = static_cast<uint32_t>(tokenizer.vocabulary_size());
  train_ = {.name = "train", .split = &manifest_.train};
  held_out_ = {.name = "held_out", .split = &manifest_.held_out};
}

TokenShardWriter::~TokenShardWriter() {
  held_out_text_.reset();
  std::error_code error;
  if (!temporary_.empty()) fs::remove_all(temporary_, error);
}

absl::StatusOr<std::unique_ptr<TokenShardWriter>> TokenShardWriter::Create(
    std::string folder, const Tokenizer& tokenizer, ShardOptions options) {
  if (!(options.held_out >= 0 && options.held_out < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("the held-out share is ", options.held_out,
                                                   "; at least 0 and below 1 is allowed"));
  }
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  std::error_code error;
  if (fs::exists(folder, error)) {
    return absl::AlreadyExistsError(absl::StrCat(
        folder,
        ": is there already; shards are never overwritten: remove it, or choose another folder"));
  }
  std::unique_ptr<TokenShardWriter> writer(
      new TokenShardWriter(std::move(folder), tokenizer, options));
  if (absl::Status status = MakeDirectories(writer->temporary_); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<DurableFile>> text =
      DurableFile::Create(absl::StrCat(writer->temporary_, "/", kHeldOutTextFile));
  if (!text.ok()) return text.status();
  writer->held_out_text_ = *std::move(text);
  return writer;
}

absl::Status TokenShardWriter::Add(absl::string_view text) {
  const bool held_out = IsHeldOut(text, options_.held_out);
  Side& side = held_out ? held_out_ : train_;
  manifest_.lower_one_eighth_blocks += CountSpaceSymbols(text);
  if (held_out) {
    const std::string part = absl::StrCat(side.split->documents == 0 ? "" : "\n\n", text);
    held_out_hasher_.Update(part);
    if (absl::Status status = held_out_text_->Append(part); !status.ok()) return status;
  }
  const size_t before = side.tokens.size();
  side.starts.push_back(before);
  side.tokens.push_back(kBeginId);
  const std::vector<int32_t> ids = tokenizer_.Encode(text);
  side.tokens.insert(side.tokens.end(), ids.begin(), ids.end());
  side.tokens.push_back(kEndId);
  side.split->documents += 1;
  side.split->tokens += side.tokens.size() - before;
  side.split->bytes += text.size();
  return side.tokens.size() >= options_.shard_tokens_max ? WriteShard(&side) : absl::OkStatus();
}

absl::Status TokenShardWriter::WriteShard(Side* side) {
  if (side->starts.empty()) return absl::OkStatus();
  const std::string bytes =
      EncodeTokenShard({.vocabulary_size = manifest_.vocabulary_size,
                        .tokenizer = *DigestFromHex(manifest_.tokenizer_sha256)},
                       side->tokens, side->starts);
  ShardEntry entry{
      .file = absl::StrFormat("%s-%05d.tokens", side->name, side->split->shards.size()),
      .sha256 = ToHex(Sha256(bytes)),
      .bytes = bytes.size(),
      .documents = side->starts.size(),
      .tokens = side->tokens.size()};
  if (absl::Status status = WriteFileDurably(absl::StrCat(temporary_, "/", entry.file), bytes);
      !status.ok())
    return status;
  side->split->shards.push_back(std::move(entry));
  side->tokens.clear();
  side->starts.clear();
  return absl::OkStatus();
}

void TokenShardWriter::SetInputCounts(uint64_t empty, uint64_t skipped) {
  manifest_.empty_documents = empty;
  manifest_.skipped_documents = skipped;
}

absl::StatusOr<ShardManifest> TokenShardWriter::Finish() {
  WEFT_CHECK(held_out_text_ != nullptr);
  if (manifest_.train.documents == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the input holds no document to train on (", manifest_.held_out.documents, " held out, ",
        manifest_.empty_documents, " empty, ", manifest_.skipped_documents, " skipped)",
        manifest_.held_out.documents > 0 ? kDocumentsHint : ""));
  }
  if (options_.held_out > 0 && manifest_.held_out.documents == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "none of ", manifest_.train.documents, " documents fell into the held-out share of ",
        options_.held_out, ": give more documents, a larger --held-out, or --held-out 0",
        kDocumentsHint));
  }
  for (Side* side : {&train_, &held_out_}) {
    if (absl::Status status = WriteShard(side); !status.ok()) return status;
  }
  if (absl::Status status = held_out_text_->Commit(); !status.ok()) return status;
  held_out_text_.reset();
  manifest_.held_out_text_sha256 = ToHex(held_out_hasher_.Finish());
  absl::Status status = WriteFileDurably(absl::StrCat(temporary_, "/", kShardManifestFile),
                                         PrintShardManifest(manifest_));
  if (!status.ok()) return status;
  if (rename(temporary_.c_str(), folder_.c_str()) != 0)
    return ErrnoStatus("cannot give the finished shards their name", folder_);
  temporary_.clear();
  const std::string parent = fs::path(folder_).parent_path().string();
  if (status = SyncDirectory(parent.empty() ? "." : parent); !status.ok()) return status;
  return manifest_;
}

}  // namespace weft
