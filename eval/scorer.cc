#include "eval/scorer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "proto/check.h"

namespace weft {
namespace {

// Scores sequences of one length in a single call, and writes each one's sum.
void ScoreBatch(const TargetScores& scores, absl::Span<const TokenSequence> sequences,
                absl::Span<const size_t> batch, std::vector<double>* sums) {
  const size_t length = sequences[batch[0]].tokens.size() - 1;
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
  for (const size_t i : batch) {
    const std::vector<int32_t>& all = sequences[i].tokens;
    tokens.insert(tokens.end(), all.begin(), all.end() - 1);
    targets.insert(targets.end(), all.begin() + 1, all.end());
  }
  const std::vector<float> values =
      scores(tokens, targets, static_cast<int>(batch.size()), static_cast<int>(length));
  WEFT_CHECK(values.size() == targets.size());
  for (size_t row = 0; row < batch.size(); ++row) {
    double sum = 0;
    const size_t end = (row + 1) * length;
    for (size_t i = end - sequences[batch[row]].scored; i < end; ++i) sum += values[i];
    (*sums)[batch[row]] = sum;
  }
}

}  // namespace

Scorer::Scorer(TargetScores scores, ScorerOptions options)
    : scores_(std::move(scores)), options_(std::move(options)) {
  WEFT_CHECK(options_.batch_size >= 1);
}

absl::StatusOr<std::vector<double>> Scorer::Score(absl::Span<const TokenSequence> sequences) const {
  // The longest first, so that a batch that needs too much memory fails at once and not after an
  // hour.
  std::map<size_t, std::vector<size_t>, std::greater<>> by_length;
  int64_t total = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const TokenSequence& sequence = sequences[i];
    WEFT_CHECK(sequence.scored >= 1 &&
               static_cast<size_t>(sequence.scored) < sequence.tokens.size());
    by_length[sequence.tokens.size()].push_back(i);
    total += sequence.scored;
  }
  std::vector<double> sums(sequences.size());
  int64_t done = 0;
  for (const auto& [length, members] : by_length) {
    for (size_t begin = 0; begin < members.size(); begin += options_.batch_size) {
      const auto batch = absl::MakeConstSpan(members).subspan(begin, options_.batch_size);
      ScoreBatch(scores_, sequences, batch, &sums);
      if (!std::all_of(batch.begin(), batch.end(),
                       [&](size_t i) { return std::isfinite(sums[i]); })) {
        return absl::DataLossError(
            "the model gives log-probabilities that are not finite: its parameters are broken, so "
            "nothing can be scored");
      }
      for (const size_t i : batch) done += sequences[i].scored;
      if (options_.progress) options_.progress(done, total);
    }
  }
  return sums;
}

}  // namespace weft
