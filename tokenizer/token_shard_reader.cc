#include "tokenizer/token_shard_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/durable_file.h"
#include "tokenizer/shard_manifest.h"

namespace weft {
namespace {

absl::Status CheckAgainstManifest(const TokenShard& shard, const ShardManifest& manifest,
                                  const ShardEntry& entry, const std::string& path) {
  if (shard.token_count() != entry.tokens || shard.document_count() != entry.documents) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", shard.token_count(), " tokens in ", shard.document_count(),
                     " documents; manifest.json says ", entry.tokens, " in ", entry.documents));
  }
  if (ToHex(shard.header().tokenizer) != manifest.tokenizer_sha256 ||
      shard.header().vocabulary_size != manifest.vocabulary_size) {
    return absl::DataLossError(
        absl::StrCat(path, ": prepared with another tokenizer than manifest.json names"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenShard>> TokenShard::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  struct stat info;
  if (fstat(fd, &info) != 0) {
    absl::Status status = ErrnoStatus("cannot stat", path);
    close(fd);
    return status;
  }
  if (!S_ISREG(info.st_mode) || info.st_size == 0) {
    close(fd);
    return absl::DataLossError(
        absl::StrCat(path, ": not a token shard: empty, or not a plain file"));
  }
  std::unique_ptr<TokenShard> shard(new TokenShard);
  shard->mapping_bytes_ = static_cast<uint64_t>(info.st_size);
  void* mapping = mmap(nullptr, shard->mapping_bytes_, PROT_READ, MAP_SHARED, fd, 0);
  absl::Status mapped = mapping == MAP_FAILED ? ErrnoStatus("cannot map", path) : absl::OkStatus();
  close(fd);
  if (!mapped.ok()) return mapped;
  shard->mapping_ = mapping;
  absl::StatusOr<TokenShardView> view = DecodeTokenShard(
      absl::string_view(static_cast<const char*>(mapping), shard->mapping_bytes_), path);
  if (!view.ok()) return view.status();
  shard->view_ = *view;
  return shard;
}

TokenShard::~TokenShard() {
  if (mapping_ != nullptr) munmap(mapping_, mapping_bytes_);
}

uint64_t TokenShard::DocumentEnd(uint64_t document) const {
  WEFT_CHECK(document < document_count());
  return document + 1 < document_count() ? DocumentStart(document + 1) : token_count();
}

void TokenShard::Read(uint64_t begin, absl::Span<int32_t> out) const {
  WEFT_CHECK(begin <= token_count() && out.size() <= token_count() - begin);
  for (size_t i = 0; i < out.size(); ++i) out[i] = view_.Token(begin + i);
}

absl::StatusOr<TokenDataset> TokenDataset::Open(absl::Span<const std::string> folders,
                                                const std::string& tokenizer_sha256,
                                                int sequence_length, Split split) {
  WEFT_CHECK(sequence_length >= 1);
  const bool train = split == Split::kTrain;
  TokenDataset dataset;
  dataset.sequence_length_ = sequence_length;
  for (const std::string& folder : folders) {
    absl::StatusOr<ShardManifest> manifest = ReadShardManifest(folder);
    if (!manifest.ok()) return manifest.status();
    if (manifest->tokenizer_sha256 != tokenizer_sha256) {
      return absl::InvalidArgumentError(absl::StrCat(
          folder, ": prepared with tokenizer ", manifest->tokenizer_sha256, ", wanted is ",
          tokenizer_sha256,
          " (SHA-256 of tokenizer.model); prepare the text again with that tokenizer"));
    }
    for (const ShardEntry& entry : (train ? manifest->train : manifest->held_out).shards) {
      const std::string path = absl::StrCat(folder, "/", entry.file);
      absl::StatusOr<std::unique_ptr<TokenShard>> shard = TokenShard::Open(path);
      if (!shard.ok()) return shard.status();
      absl::Status status = CheckAgainstManifest(**shard, *manifest, entry, path);
      if (!status.ok()) return status;
      dataset.shard_begins_.push_back(dataset.token_count_);
      dataset.token_count_ += (*shard)->token_count();
      dataset.shards_.push_back(*std::move(shard));
    }
  }
  const uint64_t length = static_cast<uint64_t>(sequence_length);
  if (dataset.token_count_ < length + 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the ", train ? "training" : "held-out", " data holds ", dataset.token_count_,
        " tokens, one sample needs ", length + 1, "; give more text or a shorter sequence",
        train ? "" : ", or prepare it with a larger --held-out"));
  }
  dataset.sample_count_ = (dataset.token_count_ - 1) / length;
  return dataset;
}

void TokenDataset::ReadSample(uint64_t index, absl::Span<int32_t> out) const {
  WEFT_CHECK(index < sample_count_ && out.size() == static_cast<size_t>(sequence_length_) + 1);
  uint64_t position = index * static_cast<uint64_t>(sequence_length_);
  size_t shard = std::upper_bound(shard_begins_.begin(), shard_begins_.end(), position) -
                 shard_begins_.begin() - 1;
  while (!out.empty()) {
    const uint64_t begin = position - shard_begins_[shard];
    const size_t count = std::min<uint64_t>(out.size(), shards_[shard]->token_count() - begin);
    shards_[shard]->Read(begin, out.subspan(0, count));
    out = out.subspan(count);
    position += count;
    ++shard;
  }
}

}  // namespace weft
