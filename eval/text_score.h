// Bits per byte of a text under a model: what one byte of it costs, whatever the tokenizer, so that
// models with different vocabularies and texts in different languages compare.
//
//   bits per byte = -sum of ln p(token) / bytes of the text in UTF-8 / ln 2
//
//   absl::StatusOr<Text> text = ReadText("held-out", "held_out.txt", Documents::kWhole);
//   absl::StatusOr<TextScore> score = ScoreText(*text, tokenizer, context_length, scorer);
//
// A document begins with the begin token and is scored in rolling windows (windows.h).
#ifndef WEFT_EVAL_TEXT_SCORE_H_
#define WEFT_EVAL_TEXT_SCORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "eval/interval.h"
#include "eval/scorer.h"
#include "proto/digest.h"
#include "tokenizer/tokenizer.h"

namespace weft {

// What a file's documents are: the whole file one, or what lies between blank lines (whose bytes
// are then not counted).
enum class Documents { kWhole, kBlankLines };

struct Text {
  std::string name;
  std::string path;
  Digest sha256{};  // of the file
  uint64_t file_bytes = 0;
  std::vector<std::string> documents;
};

// InvalidArgument for a text that is empty or not UTF-8.
absl::StatusOr<Text> MakeText(std::string name, std::string path, absl::string_view content,
                              Documents documents);
absl::StatusOr<Text> ReadText(const std::string& name, const std::string& path,
                              Documents documents);

struct TextScore {
  std::string name;
  std::string path;
  Digest sha256{};
  uint64_t file_bytes = 0;
  uint64_t bytes = 0;  // that were scored: all of them but for blank lines between documents
  uint64_t documents = 0;
  uint64_t tokens = 0;
  uint64_t windows = 0;
  double nats = 0;  // minus the sum of log-probabilities
  double seconds = 0;
  RatioEstimate bits_per_byte;
  std::vector<RatioTerm> terms;  // bits and bytes of each window
};

// InvalidArgument if no token comes out of the text.
absl::StatusOr<TextScore> ScoreText(const Text& text, const Tokenizer& tokenizer,
                                    int32_t context_length, const Scorer& scorer);

// All texts as one: bits of all over bytes of all. Named "pooled".
TextScore PoolScores(absl::Span<const TextScore> scores);

}  // namespace weft

#endif  // WEFT_EVAL_TEXT_SCORE_H_
