// Multiple choice: which of the given continuations of a prompt does the model find most probable?
//
// A file has a question per line: {"prompt": "2 + 2 =", "choices": ["3", "4"], "answer": 1}. Scores
// follow EleutherAI's lm-evaluation-harness, so that numbers compare: `acc` takes the choice of the
// largest summed log-probability, the first of equals; `acc_norm` divides that sum by the choice's
// Unicode characters. Prompt and choice are joined by one space where neither has white space there
// already, and by nothing where the prompt is empty.
//
//   absl::StatusOr<QuestionSet> set = ReadQuestions("piqa", "piqa.jsonl");
//   absl::StatusOr<QuestionScore> score = ScoreQuestions(*set, tokenizer, context_length, scorer);
#ifndef WEFT_EVAL_QUESTIONS_H_
#define WEFT_EVAL_QUESTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eval/scorer.h"
#include "proto/digest.h"
#include "tokenizer/tokenizer.h"

namespace weft {

struct Question {
  std::string prompt;
  std::vector<std::string> choices;
  size_t answer = 0;
  int line = 0;  // in the file, from 1
};

struct QuestionSet {
  std::string name;
  std::string path;
  Digest sha256{};
  uint64_t file_bytes = 0;
  std::vector<Question> questions;
};

// InvalidArgument with the line that is wrong and what is expected there.
absl::StatusOr<QuestionSet> ParseQuestions(std::string name, std::string path,
                                           absl::string_view content);
absl::StatusOr<QuestionSet> ReadQuestions(const std::string& name, const std::string& path);

// A share of right answers, with its standard error: sample standard deviation / sqrt(n); 0 for a
// single question.
struct Accuracy {
  double value = 0;
  double standard_error = 0;
};
Accuracy AccuracyOf(const std::vector<bool>& right);

// Which choice wins, by summed log-probability and by that sum per character.
struct Choice {
  size_t by_sum = 0;
  size_t by_character = 0;
};
Choice BestChoice(const std::vector<double>& sums, const std::vector<std::string>& choices);

struct QuestionScore {
  std::string name;
  std::string path;
  Digest sha256{};
  uint64_t file_bytes = 0;
  uint64_t questions = 0;
  uint64_t choices = 0;
  uint64_t tokens = 0;  // scored tokens of all choices
  uint64_t truncated =
      0;  // choices whose prompt did not fit into the context and was cut on the left
  double seconds = 0;
  Accuracy acc;
  Accuracy acc_norm;
};

// The tokens of a choice as the harness scores it: white space at the context's end moves to the
// continuation, whose tokens are enc(context + continuation)[len(enc(context)) ..]; an empty
// context becomes the begin token; what does not fit is cut on the left. InvalidArgument if the
// continuation has no token or does not fit into the model's context. `truncated`, if not null, is
// set when something was cut.
absl::StatusOr<TokenSequence> ContinuationSequence(absl::string_view context,
                                                   absl::string_view continuation,
                                                   const Tokenizer& tokenizer,
                                                   int32_t context_length,
                                                   bool* truncated = nullptr);

absl::StatusOr<QuestionScore> ScoreQuestions(const QuestionSet& set, const Tokenizer& tokenizer,
                                             int32_t context_length, const Scorer& scorer);

}  // namespace weft

#endif  // WEFT_EVAL_QUESTIONS_H_
