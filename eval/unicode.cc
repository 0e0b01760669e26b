#include "eval/unicode.h"

#include <algorithm>

namespace weft {
namespace {

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

uint32_t DecodeOne(absl::string_view sequence) {
  const auto lead = static_cast<uint8_t>(sequence[0]);
  if (sequence.size() == 1) return lead;
  uint32_t code = lead & (0x7F >> sequence.size());
  for (const char c : sequence.substr(1)) code = (code << 6) | (static_cast<uint8_t>(c) & 0x3F);
  return code;
}

bool IsSpace(uint32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
         code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

}  // namespace

int64_t CharacterCount(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return !IsContinuation(c); });
}

uint64_t LengthWithoutTrailingSpace(absl::string_view text) {
  uint64_t end = text.size();
  while (end > 0) {
    uint64_t begin = end - 1;
    while (begin > 0 && IsContinuation(text[begin])) --begin;
    if (!IsSpace(DecodeOne(text.substr(begin, end - begin)))) break;
    end = begin;
  }
  return end;
}

}  // namespace weft
