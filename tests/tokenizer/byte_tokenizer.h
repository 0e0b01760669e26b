// A tokenizer whose ids can be worked out by hand: a byte is the id 3 + byte.
#ifndef WEFT_TESTS_TOKENIZER_BYTE_TOKENIZER_H_
#define WEFT_TESTS_TOKENIZER_BYTE_TOKENIZER_H_

#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace weft::testing {

class ByteTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> Encode(absl::string_view text) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(3 + static_cast<uint8_t>(c));
    return ids;
  }
  std::string Decode(absl::Span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (id >= 3) text.push_back(static_cast<char>(id - 3));
    }
    return text;
  }
  int32_t vocabulary_size() const override { return 259; }
  const std::string& model_sha256() const override { return sha256_; }

 private:
  std::string sha256_ = std::string(62, '0') + "b1";
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TOKENIZER_BYTE_TOKENIZER_H_
