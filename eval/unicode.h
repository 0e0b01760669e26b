// The little that scoring has to know of Unicode: how many characters has a text, and where does
// its trailing white space begin. Pure functions. (Whether it is UTF-8 at all: tokenizer/utf8.h.)
#ifndef WEFT_EVAL_UNICODE_H_
#define WEFT_EVAL_UNICODE_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace weft {

// Code points. Requires UTF-8.
int64_t CharacterCount(absl::string_view text);

// Bytes of `text` without the white space at its end, where white space is what Python's
// str.isspace calls so, because the reference harness cuts contexts with str.rstrip. Requires
// UTF-8.
uint64_t LengthWithoutTrailingSpace(absl::string_view text);

}  // namespace weft

#endif  // WEFT_EVAL_UNICODE_H_
