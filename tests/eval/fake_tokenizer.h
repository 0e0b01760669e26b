// A tokenizer whose output can be worked out by hand: a byte is the token 3 + byte, and a space
// that a letter follows is one token with it, 1000 + letter, as SentencePiece does with the space
// before a word.
#ifndef WEFT_TESTS_EVAL_FAKE_TOKENIZER_H_
#define WEFT_TESTS_EVAL_FAKE_TOKENIZER_H_

#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace weft {

class FakeTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> Encode(absl::string_view text) const override {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto next = static_cast<uint8_t>(i + 1 < text.size() ? text[i + 1] : ' ');
      if (text[i] == '\x01') continue;  // stands for what normalisation removes
      if (text[i] == ' ' && next != ' ') {
        ids.push_back(1000 + next);
        ++i;
      } else {
        ids.push_back(3 + static_cast<uint8_t>(text[i]));
      }
    }
    return ids;
  }
  std::string Decode(absl::Span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (id >= 1000) text += ' ';
      text += static_cast<char>(id >= 1000 ? id - 1000 : id - 3);
    }
    return text;
  }
  int32_t vocabulary_size() const override { return 1256; }
  const std::string& model_sha256() const override { return sha256_; }

 private:
  std::string sha256_ = "fake";
};

}  // namespace weft

#endif  // WEFT_TESTS_EVAL_FAKE_TOKENIZER_H_
