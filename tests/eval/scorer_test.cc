#include "eval/scorer.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

namespace weft {
namespace {

// A model of which each prediction can be worked out by hand: it depends on the position and on all
// tokens so far.
float Expected(absl::Span<const int32_t> tokens_so_far, int32_t target) {
  int64_t hash = 17;
  for (const int32_t token : tokens_so_far) hash = (hash * 31 + token) % 1009;
  return -static_cast<float>((hash + target) % 101) / 8;
}

struct FakeModel {
  std::vector<std::pair<int, int>> calls;  // batch, length

  TargetScores Scores() {
    return [this](absl::Span<const int32_t> tokens, absl::Span<const int32_t> targets, int batch,
                  int length) {
      calls.emplace_back(batch, length);
      std::vector<float> values;
      for (int row = 0; row < batch; ++row) {
        for (int i = 0; i < length; ++i) {
          values.push_back(
              Expected(tokens.subspan(row * length, i + 1), targets[row * length + i]));
        }
      }
      return values;
    };
  }
};

double ExpectedSum(const TokenSequence& sequence) {
  double sum = 0;
  const auto tokens = absl::MakeConstSpan(sequence.tokens);
  for (size_t i = tokens.size() - sequence.scored; i < tokens.size(); ++i) {
    sum += Expected(tokens.first(i), tokens[i]);
  }
  return sum;
}

std::vector<TokenSequence> RandomSequences(int count) {
  std::mt19937 random(7);
  std::vector<TokenSequence> sequences(count);
  for (TokenSequence& sequence : sequences) {
    sequence.tokens.resize(2 + random() % 6);
    for (int32_t& token : sequence.tokens) token = static_cast<int32_t>(random() % 50);
    sequence.scored = 1 + static_cast<int32_t>(random() % (sequence.tokens.size() - 1));
  }
  return sequences;
}

TEST(ScorerTest, SumsTheScoredTokensOfEachSequenceInOrder) {
  const std::vector<TokenSequence> sequences = RandomSequences(37);
  for (const int batch_size : {1, 3, 8, 100}) {
    FakeModel model;
    const auto sums = Scorer(model.Scores(), {.batch_size = batch_size}).Score(sequences);
    ASSERT_EQ(sums->size(), sequences.size());
    for (size_t i = 0; i < sums->size(); ++i) EXPECT_EQ((*sums)[i], ExpectedSum(sequences[i])) << i;
  }
}

TEST(ScorerTest, BatchesOnlyEqualLengthsLongestFirst) {
  std::vector<TokenSequence> sequences;
  for (const int length : {2, 4, 2, 4, 4, 3}) {
    sequences.push_back({.tokens = std::vector<int32_t>(length + 1, 5), .scored = 1});
  }
  FakeModel model;
  EXPECT_TRUE(Scorer(model.Scores(), {.batch_size = 2}).Score(sequences).ok());
  EXPECT_EQ(model.calls, (std::vector<std::pair<int, int>>{{2, 4}, {1, 4}, {1, 3}, {2, 2}}));
}

TEST(ScorerTest, ReportsProgressInScoredTokens) {
  std::vector<std::pair<int64_t, int64_t>> seen;
  FakeModel model;
  const Scorer scorer(model.Scores(),
                      {.batch_size = 1, .progress = [&](int64_t done, int64_t total) {
                         seen.emplace_back(done, total);
                       }});
  ASSERT_TRUE(
      scorer.Score({{.tokens = {1, 2, 3}, .scored = 2}, {.tokens = {1, 2}, .scored = 1}}).ok());
  EXPECT_EQ(seen, (std::vector<std::pair<int64_t, int64_t>>{{2, 3}, {3, 3}}));
}

TEST(ScorerTest, RefusesAModelThatIsBroken) {
  const Scorer scorer([](absl::Span<const int32_t>, absl::Span<const int32_t> targets, int, int) {
    return std::vector<float>(targets.size(), std::numeric_limits<float>::quiet_NaN());
  });
  EXPECT_EQ(scorer.Score({{.tokens = {1, 2}, .scored = 1}}).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(ScorerTest, NothingToScoreCallsNoModel) {
  FakeModel model;
  EXPECT_TRUE(Scorer(model.Scores()).Score({})->empty());
  EXPECT_TRUE(model.calls.empty());
}

TEST(ScorerDeathTest, StopsOnASequenceThatHasNoContext) {
  FakeModel model;
  EXPECT_DEATH((void)Scorer(model.Scores()).Score({{.tokens = {1, 2}, .scored = 2}}),
               "CHECK failed");
}

}  // namespace
}  // namespace weft
