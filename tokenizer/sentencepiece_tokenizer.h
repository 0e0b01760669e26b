// SentencePiece BPE: training a model, and its pieces. Encoding is behind Tokenizer (tokenizer.h).
//
//   auto model = TrainSentencePiece({.vocabulary_size = 2048}, next_line);  // tokenizer.model
//   auto pieces = ReadPieces(*model, "the trained model");
//
// Training uses one thread; the functions share no state.
#ifndef WEFT_TOKENIZER_SENTENCEPIECE_TOKENIZER_H_
#define WEFT_TOKENIZER_SENTENCEPIECE_TOKENIZER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tokenizer/sentencepiece_model.h"

namespace weft {

// Unknown, <s>, </s> and the 256 byte pieces come first; the text's characters and merges follow.
inline constexpr int kSpecialPieceCount = 259;

struct SentencePieceOptions {
  // The exact number of pieces, which is the model's vocabulary too: nothing is padded afterwards.
  int vocabulary_size = 32768;
  uint64_t line_bytes_max = uint64_t{16} << 20;
};

// Every character of the lines gets a piece. Equal lines in equal order give equal bytes.
// `next_line` fills a line and returns true, or returns false at the end; lines must not be longer
// than line_bytes_max. InvalidArgument when the text is too little (or has too many different
// characters) for the vocabulary.
absl::StatusOr<std::string> TrainSentencePiece(const SentencePieceOptions& options,
                                               const std::function<bool(std::string*)>& next_line);

// The pieces by id. InvalidArgument when the model is not of the kind that TrainSentencePiece
// makes; `source` names it.
absl::StatusOr<std::vector<Piece>> ReadPieces(absl::string_view model, absl::string_view source);

}  // namespace weft

#endif  // WEFT_TOKENIZER_SENTENCEPIECE_TOKENIZER_H_
