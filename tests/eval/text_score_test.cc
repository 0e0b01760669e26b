#include "eval/text_score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/eval/fake_tokenizer.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// ln p(target) is minus the target's number times 1/8, plus -1 where the begin token was just read.
std::vector<float> TargetCost(absl::Span<const int32_t> tokens, absl::Span<const int32_t> targets,
                              int, int) {
  std::vector<float> values;
  for (size_t i = 0; i < targets.size(); ++i) {
    values.push_back(-static_cast<float>(targets[i]) / 8 - (tokens[i] == kBeginId ? 1.0F : 0.0F));
  }
  return values;
}

Text TextOf(absl::string_view content, Documents documents = Documents::kWhole) {
  return *MakeText("name", "dir/file", content, documents);
}

TEST(TextScoreTest, BitsPerByteIsMinusTheLogLikelihoodOverBytes) {
  // Tokens of "ab c\xC3\xBC": a, b, " c", C3, BC; 6 bytes, and windows of at most 2 tokens.
  const auto score = ScoreText(TextOf("ab cü"), FakeTokenizer(), 2, Scorer(TargetCost));
  ASSERT_TRUE(score.ok()) << score.status();
  const double nats = 1 + (100 + 101 + 1099 + 198 + 191) / 8.0;
  EXPECT_EQ(score->tokens, 5u);
  EXPECT_EQ(score->bytes, 6u);
  EXPECT_EQ(score->windows, 3u);
  EXPECT_DOUBLE_EQ(score->nats, nats);
  EXPECT_DOUBLE_EQ(score->bits_per_byte.ratio, nats / 6 / std::log(2.0));
  ASSERT_TRUE(score->bits_per_byte.interval);
  EXPECT_LT(score->bits_per_byte.interval->low, score->bits_per_byte.ratio);
  EXPECT_GT(score->bits_per_byte.interval->high, score->bits_per_byte.ratio);
}

TEST(TextScoreTest, TermsSumToTheBitsAndBytesOfTheText) {
  const auto score = ScoreText(TextOf("some text of ü and 世界, cut within characters"),
                               FakeTokenizer(), 5, Scorer(TargetCost));
  ASSERT_TRUE(score.ok()) << score.status();
  double bits = 0;
  double bytes = 0;
  for (const RatioTerm& term : score->terms) {
    bits += term.numerator;
    bytes += term.denominator;
  }
  EXPECT_NEAR(bits, score->nats / std::log(2.0), 1e-9);
  EXPECT_NEAR(bytes, static_cast<double>(score->bytes), 1e-9);
}

TEST(TextScoreTest, TheResultDoesNotDependOnTheBatchSize) {
  const Text text = TextOf("one two three four five six seven eight nine");
  const auto one = ScoreText(text, FakeTokenizer(), 4, Scorer(TargetCost, {.batch_size = 1}));
  const auto many = ScoreText(text, FakeTokenizer(), 4, Scorer(TargetCost, {.batch_size = 64}));
  EXPECT_EQ(one->nats, many->nats);
  EXPECT_EQ(one->bits_per_byte.interval->low, many->bits_per_byte.interval->low);
}

TEST(TextScoreTest, BlankLinesSplitDocumentsAndAreNotCounted) {
  const Text text = TextOf("\n \r\nab\ncd\n\n\n  \nx\n", Documents::kBlankLines);
  EXPECT_THAT(text.documents, ElementsAre("ab\ncd", "x"));
  EXPECT_EQ(text.file_bytes, 17u);
  const auto score = ScoreText(text, FakeTokenizer(), 64, Scorer(TargetCost));
  EXPECT_EQ(score->bytes, 6u);
  EXPECT_EQ(score->documents, 2u);
  EXPECT_EQ(score->windows, 2u);
  // Each document begins with the begin token, which costs 1 here.
  EXPECT_DOUBLE_EQ(score->nats, 2 + (100 + 101 + 13 + 102 + 103 + 123) / 8.0);
  EXPECT_THAT(TextOf("a\n\nb\n").documents, ElementsAre("a\n\nb\n"));
}

TEST(TextScoreTest, PoolsBitsOfAllOverBytesOfAll) {
  const auto a = ScoreText(TextOf("abcabcabc"), FakeTokenizer(), 4, Scorer(TargetCost));
  const auto b = ScoreText(TextOf("xx"), FakeTokenizer(), 4, Scorer(TargetCost));
  const TextScore pooled = PoolScores({*a, *b});
  EXPECT_EQ(pooled.bytes, 11u);
  EXPECT_EQ(pooled.tokens, 11u);
  EXPECT_EQ(pooled.windows, 4u);
  EXPECT_DOUBLE_EQ(pooled.bits_per_byte.ratio, (a->nats + b->nats) / 11 / std::log(2.0));
}

TEST(TextScoreTest, RefusesTextThatCannotBeScored) {
  const auto refusal = [](absl::string_view content, Documents documents) {
    return std::string(MakeText("n", "the/file", content, documents).status().message());
  };
  EXPECT_THAT(refusal("", Documents::kWhole),
              HasSubstr("the/file: no text to score: the file is empty"));
  EXPECT_THAT(refusal(" \n\n", Documents::kBlankLines), HasSubstr("empty but for blank lines"));
  EXPECT_THAT(refusal("abc\xC3", Documents::kWhole), HasSubstr("the/file: not UTF-8 at byte 3"));
  const auto nothing = ScoreText(TextOf("\x01\x01"), FakeTokenizer(), 4, Scorer(TargetCost));
  EXPECT_THAT(std::string(nothing.status().message()), HasSubstr("makes no token of its 2 bytes"));
}

TEST(TextScoreTest, ReadsAFileAndNamesItsDigest) {
  const std::string path = ::testing::TempDir() + "/text_score_test.txt";
  std::ofstream(path) << "abc";
  const auto text = ReadText("t", path, Documents::kWhole);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(ToHex(text->sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  std::filesystem::remove(path);
  EXPECT_EQ(ReadText("t", path, Documents::kWhole).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace weft
