// Trains a SentencePiece BPE model on a sample of documents.
//
//   auto trained = TrainTokenizer({"corpus/"}, {.vocabulary_size = 2048});
//
// Each input (a file or a folder) gives at most sample_bytes of text, so that a large site does not
// crowd out a small one.
#ifndef WEFT_TOKENIZER_TRAIN_TOKENIZER_H_
#define WEFT_TOKENIZER_TRAIN_TOKENIZER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tokenizer/document_reader.h"

namespace weft {

struct TrainTokenizerOptions {
  int vocabulary_size = 32768;
  // The share of the text's characters that get a piece of their own; 0 chooses it: 0.9999, or less
  // where that many different characters would take more than half of the vocabulary (the rest is
  // spelled in bytes).
  double character_coverage = 0;
  uint64_t sample_bytes = uint64_t{64} << 20;  // of each input
  DocumentOptions documents;
};

struct TrainedTokenizer {
  std::string model;  // the bytes of tokenizer.model
  double character_coverage = 0;
  uint64_t distinct_characters = 0;
  DocumentCounts counts;
};

absl::StatusOr<TrainedTokenizer> TrainTokenizer(absl::Span<const std::string> inputs,
                                                const TrainTokenizerOptions& options);

}  // namespace weft

#endif  // WEFT_TOKENIZER_TRAIN_TOKENIZER_H_
