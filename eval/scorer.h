// Log-probabilities of token sequences under a model, gathered into batches of equal length so that
// nothing is padded.
//
//   Scorer scorer(model.Scores(), {.batch_size = 8});
//   auto sums = scorer.Score({{.tokens = {1, 17, 4, 9}, .scored = 2}});
//   // (*sums)[0] = ln p(4|1 17) + ln p(9|1 17 4)
//
// A sum is that of fp32 log-softmax values, in double, in token order. It does not depend on which
// other sequences are scored with it but for what the backend's matrix products do with another
// batch size (a few units in the last place). One thread at a time.
#ifndef WEFT_EVAL_SCORER_H_
#define WEFT_EVAL_SCORER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace weft {

// Natural log-probabilities of targets[i] given tokens[.. i], for batch x length row-major ids: as
// Transformer::TargetLogProbabilities.
using TargetScores = std::function<std::vector<float>(
    absl::Span<const int32_t> tokens, absl::Span<const int32_t> targets, int batch, int length)>;

// The model reads all tokens but the last, and predicts all but the first; the last `scored`
// predictions count.
struct TokenSequence {
  std::vector<int32_t> tokens;
  int32_t scored = 0;
};

struct ScorerOptions {
  int batch_size = 8;
  // Called after each batch with the number of predictions that count, so far and in all.
  std::function<void(int64_t done, int64_t total)> progress = nullptr;
};

class Scorer {
 public:
  explicit Scorer(TargetScores scores, ScorerOptions options = {});

  // One sum for each sequence, in their order. Requires of each: 1 <= scored < tokens.size().
  // DataLoss if a sum is not finite: then the model's parameters are broken, though each is finite.
  absl::StatusOr<std::vector<double>> Score(absl::Span<const TokenSequence> sequences) const;

 private:
  TargetScores scores_;
  ScorerOptions options_;
};

}  // namespace weft

#endif  // WEFT_EVAL_SCORER_H_
