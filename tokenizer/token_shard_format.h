// A token shard as bytes: what proto/FORMAT.md draws under "Token shard", encoded and decoded in
// memory. Reading from files is in token_shard_reader.h.
//
//   const TokenShardHeader header{.vocabulary_size = 2048, .tokenizer = sha256};
//   std::string bytes = EncodeTokenShard(header, tokens, starts);
//   absl::StatusOr<TokenShardView> view = DecodeTokenShard(bytes, "train-00000.tokens");
//
// Pure functions; a view borrows its bytes.
#ifndef WEFT_TOKENIZER_TOKEN_SHARD_FORMAT_H_
#define WEFT_TOKENIZER_TOKEN_SHARD_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/digest.h"

namespace weft {

inline constexpr uint64_t kTokenShardHeaderBytes = 128;

struct TokenShardHeader {
  uint32_t vocabulary_size = 0;
  Digest tokenizer = {};  // SHA-256 of tokenizer.model
};

// Requires tokens in [0, vocabulary_size), starts ascending from 0 and below tokens.size().
std::string EncodeTokenShard(const TokenShardHeader& header, absl::Span<const int32_t> tokens,
                             absl::Span<const uint64_t> starts);

struct TokenShardView {
  TokenShardHeader header;
  uint64_t token_count = 0;
  uint64_t document_count = 0;
  int token_bytes = 0;
  const char* tokens = nullptr;
  const char* starts = nullptr;

  // Requires index < token_count. An id outside the vocabulary (a damaged file) reads as
  // kUnknownId, so that no shard can make a reader index outside its tables; `weft-tokenizer
  // inspect` finds the damage.
  int32_t Token(uint64_t index) const;
  // Requires document < document_count.
  uint64_t DocumentStart(uint64_t document) const;
};

// DataLoss, naming `source` and what was expected. Takes no memory in proportion to the declared
// counts.
absl::StatusOr<TokenShardView> DecodeTokenShard(absl::string_view bytes, absl::string_view source);

}  // namespace weft

#endif  // WEFT_TOKENIZER_TOKEN_SHARD_FORMAT_H_
