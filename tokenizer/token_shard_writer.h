// Documents to a folder of token shards with a held-out split (token_shard_reader.h reads it). The
// folder appears whole under its name when Finish returns, or not at all.
//
//   auto writer = TokenShardWriter::Create("shards/", *tokenizer, {.held_out = 0.05});
//   (*writer)->Add(text); ...
//   absl::StatusOr<ShardManifest> manifest = (*writer)->Finish();
//
// Which documents are held out depends on their text alone: SHA-256("weft-held-out-1" | text), its
// first 8 bytes as a fraction of 2^64, below `held_out`. Equal documents are therefore never on
// both sides. One thread.
#ifndef WEFT_TOKENIZER_TOKEN_SHARD_WRITER_H_
#define WEFT_TOKENIZER_TOKEN_SHARD_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/digest.h"
#include "proto/durable_file.h"
#include "tokenizer/shard_manifest.h"
#include "tokenizer/tokenizer.h"

namespace weft {

struct ShardOptions {
  double held_out = 0.05;  // share of the documents, 0 <= held_out < 1
  // A shard ends with the first document that reaches it.
  uint64_t shard_tokens_max = uint64_t{16} << 20;
};

class TokenShardWriter {
 public:
  // AlreadyExists when `folder` is there.
  static absl::StatusOr<std::unique_ptr<TokenShardWriter>> Create(std::string folder,
                                                                  const Tokenizer& tokenizer,
                                                                  ShardOptions options);
  ~TokenShardWriter();  // without Finish: removes what was written

  absl::Status Add(absl::string_view text);
  // What the reader counted besides sound documents, for the manifest.
  void SetInputCounts(uint64_t empty, uint64_t skipped);
  // InvalidArgument when there is nothing to train on, or nothing was held out though a share was
  // asked for.
  absl::StatusOr<ShardManifest> Finish();

 private:
  // The shard being filled of one side of the split.
  struct Side {
    std::string name;
    ShardSplit* split = nullptr;
    std::vector<int32_t> tokens;
    std::vector<uint64_t> starts;
  };

  TokenShardWriter(std::string folder, const Tokenizer& tokenizer, ShardOptions options);
  absl::Status WriteShard(Side* side);

  std::string folder_;
  std::string temporary_;
  const Tokenizer& tokenizer_;
  ShardOptions options_;
  ShardManifest manifest_;
  Side train_;
  Side held_out_;
  std::unique_ptr<DurableFile> held_out_text_;
  Sha256Hasher held_out_hasher_;
};

}  // namespace weft

#endif  // WEFT_TOKENIZER_TOKEN_SHARD_WRITER_H_
