// A folder of prepared text: token shards, memory-mapped, with document boundaries, under one
// manifest.
//
//   DIR/manifest.json              tokenizer, totals, and the shards with their SHA-256
//   DIR/train-00000.tokens ...     training documents
//   DIR/held_out-00000.tokens ...  held-out documents
//   DIR/held_out.txt               their text, for scoring in bits per byte
//
// A shard file: header, then token ids (u16 when the vocabulary fits, else u32), then document
// starts (u64, in tokens). Each document is BOS, its tokens, EOS. proto/FORMAT.md draws it.
// Thread-safe once open.
//
//   auto data = TokenDataset::Open({"shards/"}, manifest_tokenizer_sha256, 256);
//   const SampleOrder order(seed, site, data->sample_count());
//   std::vector<int32_t> sample(257);
//   data->ReadSample(order.At(position), absl::MakeSpan(sample));
#ifndef WEFT_TOKENIZER_TOKEN_SHARD_READER_H_
#define WEFT_TOKENIZER_TOKEN_SHARD_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tokenizer/token_shard_format.h"

namespace weft {

// One shard file, mapped.
class TokenShard {
 public:
  // Checks the header and all lengths against the file before anything is used. DataLoss says what
  // was expected.
  static absl::StatusOr<std::unique_ptr<TokenShard>> Open(const std::string& path);
  ~TokenShard();
  TokenShard(const TokenShard&) = delete;
  TokenShard& operator=(const TokenShard&) = delete;

  const TokenShardHeader& header() const { return view_.header; }
  uint64_t token_count() const { return view_.token_count; }
  uint64_t document_count() const { return view_.document_count; }
  uint64_t DocumentStart(uint64_t document) const { return view_.DocumentStart(document); }
  // Where the document ends, its EOS included.
  uint64_t DocumentEnd(uint64_t document) const;
  // Copies tokens [begin, begin + out.size()). Requires that they are inside. Ids outside the
  // vocabulary (a damaged file) read as kUnknownId.
  void Read(uint64_t begin, absl::Span<int32_t> out) const;

 private:
  TokenShard() = default;
  void* mapping_ = nullptr;
  uint64_t mapping_bytes_ = 0;
  TokenShardView view_;
};

enum class Split { kTrain, kHeldOut };

// All training shards (or all held-out ones) of one or more folders as one sequence of tokens, read
// in samples of fixed length.
class TokenDataset {
 public:
  // InvalidArgument when a folder was prepared with another tokenizer than `tokenizer_sha256`, or
  // there is no text for a single sample of `sequence_length` + 1 tokens.
  static absl::StatusOr<TokenDataset> Open(absl::Span<const std::string> folders,
                                           const std::string& tokenizer_sha256, int sequence_length,
                                           Split split = Split::kTrain);

  // Sample i: tokens [i*L, i*L + L + 1) of the concatenated shards (the last target is the next
  // sample's first token).
  uint64_t sample_count() const { return sample_count_; }
  int sequence_length() const { return sequence_length_; }
  uint64_t token_count() const { return token_count_; }
  // Fills L + 1 tokens. Requires index < sample_count() and out.size() == L + 1.
  void ReadSample(uint64_t index, absl::Span<int32_t> out) const;

 private:
  TokenDataset() = default;
  std::vector<std::shared_ptr<const TokenShard>> shards_;
  std::vector<uint64_t> shard_begins_;  // in tokens
  uint64_t token_count_ = 0;
  uint64_t sample_count_ = 0;
  int sequence_length_ = 0;
};

}  // namespace weft

#endif  // WEFT_TOKENIZER_TOKEN_SHARD_READER_H_
