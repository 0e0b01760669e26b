#include "eval/unicode.h"

#include <algorithm>

namespace weft {
namespace {

// Bytes of the well-formed sequence that `text` begins with; 0: none.
uint64_t SequenceLength(absl::string_view text) {
  const auto byte = [&](uint64_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  const auto continues = [&](uint64_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  // The second byte's range excludes overlong forms (E0, F0), surrogates (ED) and values above
  // U+10FFFF (F4).
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool second =
        byte(1) >= (lead == 0xE0 ? 0xA0 : 0x80) && byte(1) <= (lead == 0xED ? 0x9F : 0xBF);
    return second && continues(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool second =
        byte(1) >= (lead == 0xF0 ? 0x90 : 0x80) && byte(1) <= (lead == 0xF4 ? 0x8F : 0xBF);
    return second && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

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

std::optional<uint64_t> FirstInvalidUtf8(absl::string_view text) {
  uint64_t at = 0;
  while (at < text.size()) {
    const uint64_t length = SequenceLength(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return std::nullopt;
}

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
