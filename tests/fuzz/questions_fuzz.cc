// Question files come from anywhere: what is accepted has an answer among its choices, in sound
// UTF-8.
#include "absl/strings/string_view.h"
#include "eval/questions.h"
#include "eval/unicode.h"
#include "proto/check.h"
#include "tests/fuzz/fuzz_target.h"
#include "tokenizer/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view content(reinterpret_cast<const char*>(data), size);
  WEFT_CHECK(weft::ValidUtf8Prefix(content) <= size);
  const auto set = weft::ParseQuestions("name", "input", content);
  if (!set.ok()) return 0;
  WEFT_CHECK(!set->questions.empty());
  for (const weft::Question& question : set->questions) {
    WEFT_CHECK(question.answer < question.choices.size());
    WEFT_CHECK(weft::ValidUtf8Prefix(question.prompt) == question.prompt.size());
    WEFT_CHECK(weft::LengthWithoutTrailingSpace(question.prompt) <= question.prompt.size());
    for (const std::string& choice : question.choices)
      WEFT_CHECK(weft::CharacterCount(choice) >= 1);
  }
  return 0;
}
