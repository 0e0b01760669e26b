// The little of UTF-8 that tokenizing needs. Pure functions.
//
//   size_t sound = ValidUtf8Prefix(text);   // == text.size() when all of it is UTF-8
#ifndef WEFT_TOKENIZER_UTF8_H_
#define WEFT_TOKENIZER_UTF8_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace weft {

// SentencePiece writes a space as U+2581 (lower one eighth block).
inline constexpr absl::string_view kSpaceSymbol = "\xe2\x96\x81";

// Bytes of the longest prefix that is well-formed UTF-8 (Unicode 15, table 3-7: no overlong forms,
// no surrogates).
size_t ValidUtf8Prefix(absl::string_view text);

// U+2581 in place of " ", and back.
std::string EncodeSpaces(absl::string_view text);
std::string DecodeSpaces(absl::string_view text);

uint64_t CountSpaceSymbols(absl::string_view text);

}  // namespace weft

#endif  // WEFT_TOKENIZER_UTF8_H_
