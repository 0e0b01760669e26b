#include "eval/questions.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "eval/unicode.h"
#include "nlohmann/json.hpp"
#include "proto/check.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

constexpr size_t kChoicesMax = 1000;
constexpr absl::string_view kExpected =
    R"(expected {"prompt": text, "choices": [text, ...], "answer": number of the right choice from 0})";

absl::StatusOr<Question> ParseQuestion(absl::string_view line) {
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat("not a JSON object; ", kExpected));
  }
  const auto prompt = json.find("prompt");
  const auto choices = json.find("choices");
  const auto answer = json.find("answer");
  if (prompt == json.end() || !prompt->is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("\"prompt\" is not a text; ", kExpected));
  }
  if (choices == json.end() || !choices->is_array() || choices->empty() ||
      choices->size() > kChoicesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"choices\" is not a list of 1 to ", kChoicesMax, "; ", kExpected));
  }
  Question question{.prompt = prompt->get<std::string>()};
  for (const nlohmann::json& choice : *choices) {
    if (!choice.is_string() || choice.get_ref<const std::string&>().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a choice is empty or not a text; ", kExpected));
    }
    question.choices.push_back(choice.get<std::string>());
  }
  if (answer == json.end() || !answer->is_number_unsigned() ||
      answer->get<uint64_t>() >= question.choices.size()) {
    return absl::InvalidArgumentError(absl::StrCat("\"answer\" is not the number of one of ",
                                                   question.choices.size(), " choices; ",
                                                   kExpected));
  }
  question.answer = answer->get<size_t>();
  return question;
}

absl::Status AtLine(const std::string& path, int line, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ":", line, ": ", status.message()));
}

absl::string_view Delimiter(const std::string& prompt, const std::string& choice) {
  if (prompt.empty() || LengthWithoutTrailingSpace(prompt) < prompt.size()) return "";
  // Leading white space is seen from the first character, as trailing of it alone.
  size_t first = 1;
  while (first < choice.size() && (static_cast<uint8_t>(choice[first]) & 0xC0) == 0x80) ++first;
  return LengthWithoutTrailingSpace(absl::string_view(choice).substr(0, first)) == 0 ? "" : " ";
}

}  // namespace

absl::StatusOr<QuestionSet> ParseQuestions(std::string name, std::string path,
                                           absl::string_view content) {
  QuestionSet set{.name = std::move(name),
                  .path = std::move(path),
                  .sha256 = Sha256(content),
                  .file_bytes = content.size()};
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(content, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    absl::StatusOr<Question> question = ParseQuestion(line);
    if (!question.ok()) return AtLine(set.path, number, question.status());
    question->line = number;
    set.questions.push_back(*std::move(question));
  }
  if (set.questions.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(set.path, ": no questions; a line each is ", kExpected));
  }
  return set;
}

absl::StatusOr<QuestionSet> ReadQuestions(const std::string& name, const std::string& path) {
  absl::StatusOr<std::string> content = ReadWholeFile(path);
  if (!content.ok()) return content.status();
  return ParseQuestions(name, path, *content);
}

Accuracy AccuracyOf(const std::vector<bool>& right) {
  WEFT_CHECK(!right.empty());
  const auto count = static_cast<double>(right.size());
  double sum = 0;
  for (const bool r : right) sum += r ? 1 : 0;
  const double mean = sum / count;
  // Of zeros and ones: sum (x - mean)^2 = n mean (1 - mean).
  return {.value = mean,
          .standard_error = count > 1 ? std::sqrt(mean * (1 - mean) / (count - 1)) : 0};
}

Choice BestChoice(const std::vector<double>& sums, const std::vector<std::string>& choices) {
  const auto per_character = [&](size_t i) {
    return sums[i] / static_cast<double>(CharacterCount(choices[i]));
  };
  Choice best;
  for (size_t i = 1; i < sums.size(); ++i) {
    if (sums[i] > sums[best.by_sum]) best.by_sum = i;
    if (per_character(i) > per_character(best.by_character)) best.by_character = i;
  }
  return best;
}

absl::StatusOr<TokenSequence> ContinuationSequence(absl::string_view context,
                                                   absl::string_view continuation,
                                                   const Tokenizer& tokenizer,
                                                   int32_t context_length, bool* truncated) {
  const std::string whole = absl::StrCat(context, continuation);
  const std::vector<int32_t> before =
      tokenizer.Encode(context.substr(0, LengthWithoutTrailingSpace(context)));
  std::vector<int32_t> tokens = tokenizer.Encode(whole);
  if (tokens.size() <= before.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the tokenizer makes no token of the choice \"", continuation, "\""));
  }
  const size_t scored = tokens.size() - before.size();
  if (scored > static_cast<size_t>(context_length)) {
    return absl::InvalidArgumentError(absl::StrCat("a choice has ", scored,
                                                   " tokens, but the context length is ",
                                                   context_length, "; leave the question out"));
  }
  if (before.empty()) tokens.insert(tokens.begin(), kBeginId);
  const size_t length_max = static_cast<size_t>(context_length) + 1;
  if (tokens.size() > length_max) {
    tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(length_max));
    if (truncated != nullptr) *truncated = true;
  }
  return TokenSequence{.tokens = std::move(tokens), .scored = static_cast<int32_t>(scored)};
}

absl::StatusOr<QuestionScore> ScoreQuestions(const QuestionSet& set, const Tokenizer& tokenizer,
                                             int32_t context_length, const Scorer& scorer) {
  const absl::Time start = absl::Now();
  QuestionScore score{.name = set.name,
                      .path = set.path,
                      .sha256 = set.sha256,
                      .file_bytes = set.file_bytes,
                      .questions = set.questions.size()};
  std::vector<TokenSequence> sequences;
  for (const Question& question : set.questions) {
    for (const std::string& choice : question.choices) {
      bool truncated = false;
      absl::StatusOr<TokenSequence> sequence = ContinuationSequence(
          question.prompt, absl::StrCat(Delimiter(question.prompt, choice), choice), tokenizer,
          context_length, &truncated);
      if (!sequence.ok()) return AtLine(set.path, question.line, sequence.status());
      score.tokens += sequence->scored;
      score.truncated += truncated ? 1 : 0;
      sequences.push_back(*std::move(sequence));
    }
  }
  const absl::StatusOr<std::vector<double>> sums = scorer.Score(sequences);
  if (!sums.ok()) return sums.status();
  std::vector<bool> right;
  std::vector<bool> right_norm;
  auto sum = sums->begin();
  for (const Question& question : set.questions) {
    const auto end = sum + static_cast<std::ptrdiff_t>(question.choices.size());
    const Choice best = BestChoice({sum, end}, question.choices);
    right.push_back(best.by_sum == question.answer);
    right_norm.push_back(best.by_character == question.answer);
    sum = end;
  }
  score.choices = sequences.size();
  score.acc = AccuracyOf(right);
  score.acc_norm = AccuracyOf(right_norm);
  score.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  return score;
}

}  // namespace weft
