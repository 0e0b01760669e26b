#include "eval/questions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/eval/fake_tokenizer.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int32_t> Tokens(absl::string_view context, absl::string_view continuation,
                            int32_t context_length = 100) {
  return ContinuationSequence(context, continuation, FakeTokenizer(), context_length)->tokens;
}

int32_t Scored(absl::string_view context, absl::string_view continuation,
               int32_t context_length = 100) {
  return ContinuationSequence(context, continuation, FakeTokenizer(), context_length)->scored;
}

TEST(ContinuationTest, TheContextsTrailingSpaceIsScoredWithTheContinuation) {
  EXPECT_THAT(Tokens("ab", " c"), ElementsAre(100, 101, 1099));
  EXPECT_EQ(Scored("ab", " c"), 1);
  EXPECT_THAT(Tokens("ab ", "c"), ElementsAre(100, 101, 1099));
  EXPECT_EQ(Scored("ab ", "c"), 1);
  // A line end is white space too: it moves, and is a token of its own here.
  EXPECT_THAT(Tokens("ab\n", "c"), ElementsAre(100, 101, 13, 102));
  EXPECT_EQ(Scored("ab\n", "c"), 2);
}

TEST(ContinuationTest, AnEmptyContextIsTheBeginToken) {
  EXPECT_THAT(Tokens("", "ab"), ElementsAre(kBeginId, 100, 101));
  EXPECT_EQ(Scored("", "ab"), 2);
  EXPECT_THAT(Tokens("  ", "a"), ElementsAre(kBeginId, 35, 1097));
}

TEST(ContinuationTest, CutsTheContextOnTheLeft) {
  bool truncated = false;
  const auto sequence = ContinuationSequence("abcdef", " x", FakeTokenizer(), 3, &truncated);
  EXPECT_THAT(sequence->tokens, ElementsAre(103, 104, 105, 1120));  // 3 are read, 1 is predicted
  EXPECT_EQ(sequence->scored, 1);
  EXPECT_TRUE(truncated);
  truncated = false;
  EXPECT_TRUE(ContinuationSequence("abc", " x", FakeTokenizer(), 3, &truncated).ok());
  EXPECT_FALSE(truncated);
}

TEST(ContinuationTest, RefusesWhatCannotBeScored) {
  const auto message = [](absl::string_view continuation) {
    return std::string(
        ContinuationSequence("a", continuation, FakeTokenizer(), 3).status().message());
  };
  EXPECT_THAT(message("wxyz"), HasSubstr("a choice has 4 tokens, but the context length is 3"));
  EXPECT_THAT(message("\x01"), HasSubstr("no token of the choice"));
  EXPECT_THAT(Tokens("a", "xyz", 3), ElementsAre(100, 123, 124, 125));
}

TEST(QuestionsTest, TheFirstOfEqualsWins) {
  const Choice best = BestChoice({-3, -2, -2, -2.5}, {"a", "bb", "c", "ddddd"});
  EXPECT_EQ(best.by_sum, 1u);
  EXPECT_EQ(best.by_character, 3u);
  EXPECT_EQ(BestChoice({-2, -2}, {"a", "b"}).by_character, 0u);
}

TEST(QuestionsTest, NormalisesByCharactersNotBytes) {
  // By bytes the second would win: -3/6 > -2/3.
  EXPECT_EQ(BestChoice({-2, -3}, {"abc", "世界"}).by_character, 0u);
}

TEST(QuestionsTest, StandardErrorIsThatOfTheSampleMean) {
  const Accuracy accuracy = AccuracyOf({true, false, true, true});
  EXPECT_DOUBLE_EQ(accuracy.value, 0.75);
  // Sample variance (3 * 0.0625 + 0.5625) / 3 = 0.25; its root over the root of 4.
  EXPECT_DOUBLE_EQ(accuracy.standard_error, 0.25);
  EXPECT_EQ(AccuracyOf({true}).standard_error, 0.0);
}

TEST(QuestionsTest, ScoresASet) {
  // The model likes small token numbers, so the choices of early letters win, and long ones cost
  // more.
  const TargetScores scores = [](absl::Span<const int32_t>, absl::Span<const int32_t> targets, int,
                                 int) {
    std::vector<float> values;
    for (const int32_t target : targets) values.push_back(-static_cast<float>(target));
    return values;
  };
  const auto set =
      ParseQuestions("set", "set.jsonl", R"({"prompt": "p", "choices": ["b", "a"], "answer": 1}

{"prompt": "p ", "choices": ["ab", "z"], "answer": 1}
{"prompt": "", "choices": ["b", "c"], "answer": 1}
)");
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->questions[2].line, 4);
  const auto score = ScoreQuestions(*set, FakeTokenizer(), 16, Scorer(scores));
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_EQ(score->questions, 3u);
  EXPECT_EQ(score->choices, 6u);
  EXPECT_EQ(score->tokens,
            7u);  // "p" and " b": one; " ab" is two, and nothing precedes the choices of ""
  EXPECT_EQ(score->truncated, 0u);
  // Second question: -(1097 + 101) against -1122, so the sum says "z"; per character -599 against
  // -1122 says "ab".
  EXPECT_DOUBLE_EQ(score->acc.value, 2.0 / 3);
  EXPECT_DOUBLE_EQ(score->acc_norm.value, 1.0 / 3);
}

TEST(QuestionsTest, ASpaceJoinsPromptAndChoiceUnlessThereIsOne) {
  std::vector<std::vector<int32_t>> seen;
  const TargetScores scores = [&](absl::Span<const int32_t>, absl::Span<const int32_t> targets, int,
                                  int) {
    seen.emplace_back(targets.begin(), targets.end());
    return std::vector<float>(targets.size(), -1.0F);
  };
  const auto set = ParseQuestions("s", "s", R"({"prompt": "p", "choices": ["a", " a"], "answer": 0}
{"prompt": "p ", "choices": ["a"], "answer": 0})");
  ASSERT_TRUE(ScoreQuestions(*set, FakeTokenizer(), 16, Scorer(scores, {.batch_size = 1})).ok());
  EXPECT_THAT(seen, ElementsAre(ElementsAre(1097), ElementsAre(1097), ElementsAre(1097)));
}

TEST(QuestionsTest, RefusesALineThatIsNoQuestion) {
  const auto refusal = [](absl::string_view line) {
    return std::string(
        ParseQuestions("s", "dir/s.jsonl", absl::StrCat("\n", line)).status().message());
  };
  EXPECT_THAT(refusal(""), HasSubstr("no questions"));
  EXPECT_THAT(refusal("{"), HasSubstr("dir/s.jsonl:2: not a JSON object"));
  EXPECT_THAT(refusal("[1]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal("{\"prompt\": \"\xFF\"}"), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(R"({"choices": ["a"], "answer": 0})"), HasSubstr("\"prompt\" is not a text"));
  EXPECT_THAT(refusal(R"({"prompt": "p", "choices": [], "answer": 0})"),
              HasSubstr("\"choices\" is not a list"));
  EXPECT_THAT(refusal(R"({"prompt": "p", "choices": ["a", ""], "answer": 0})"),
              HasSubstr("a choice is empty"));
  EXPECT_THAT(refusal(R"({"prompt": "p", "choices": ["a", 3], "answer": 0})"),
              HasSubstr("a choice is empty or not"));
  for (const char* answer : {"1", "-1", "0.5", "\"0\"", "null", "18446744073709551616"}) {
    EXPECT_THAT(
        refusal(absl::StrCat(R"({"prompt": "p", "choices": ["a"], "answer": )", answer, "}")),
        HasSubstr("\"answer\" is not the number of one of 1 choices"));
  }
}

TEST(QuestionsTest, NamesTheLineOfAQuestionThatDoesNotFit) {
  const auto set = ParseQuestions(
      "s", "s.jsonl", "\n\n{\"prompt\": \"p\", \"choices\": [\"abcdef\"], \"answer\": 0}");
  const auto score = ScoreQuestions(*set, FakeTokenizer(), 4, Scorer(nullptr));
  EXPECT_THAT(std::string(score.status().message()), HasSubstr("s.jsonl:3: a choice has 6 tokens"));
}

}  // namespace
}  // namespace weft
