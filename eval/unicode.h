// The little that scoring has to know of Unicode: is a text UTF-8, how many characters has it, and
// where does its trailing white space begin. Pure functions.
#ifndef WEFT_EVAL_UNICODE_H_
#define WEFT_EVAL_UNICODE_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace weft {

// Byte offset of the first sequence that is not UTF-8 (Unicode 15, table 3-7: no overlong forms,
// surrogates, or values above U+10FFFF).
std::optional<uint64_t> FirstInvalidUtf8(absl::string_view text);

// Code points. Requires UTF-8.
int64_t CharacterCount(absl::string_view text);

// Bytes of `text` without the white space at its end, where white space is what Python's
// str.isspace calls so, because the reference harness cuts contexts with str.rstrip. Requires
// UTF-8.
uint64_t LengthWithoutTrailingSpace(absl::string_view text);

}  // namespace weft

#endif  // WEFT_EVAL_UNICODE_H_
