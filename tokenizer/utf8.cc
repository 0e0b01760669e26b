#include "tokenizer/utf8.h"

#include <simdjson.h>

#include "absl/strings/str_replace.h"

namespace weft {
namespace {

constexpr size_t kBlockBytes = 4096;

// Bytes of the well-formed character at the front of `text`, or 0.
size_t CharacterLength(absl::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  const auto within = [&](size_t i, int low, int high) {
    return byte(i) >= low && byte(i) <= high;
  };
  const uint8_t first = byte(0);
  if (first < 0x80) return text.empty() ? 0 : 1;
  if (first >= 0xc2 && first <= 0xdf) return within(1, 0x80, 0xbf) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool second = within(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
    return second && within(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool second = within(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return second && within(2, 0x80, 0xbf) && within(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

// Bytes from the start of the last character, at most three: what may be cut off at the end.
size_t UnfinishedBytes(absl::string_view block) {
  for (size_t back = 1; back <= 3 && back < block.size(); ++back) {
    const auto byte = static_cast<uint8_t>(block[block.size() - back]);
    if (byte >= 0xc0) return back;
    if (byte < 0x80) return 0;
  }
  return 0;
}

}  // namespace

size_t ValidUtf8Prefix(absl::string_view text) {
  // Sound blocks at the speed of memory; the place of an error is found slowly. Never far beyond
  // the error, so that who goes on after each of many errors takes linear time.
  size_t valid = 0;
  while (valid < text.size()) {
    absl::string_view block = text.substr(valid, kBlockBytes);
    // Not the first bytes of a character that ends in the next block.
    if (valid + block.size() < text.size()) block.remove_suffix(UnfinishedBytes(block));
    if (!simdjson::validate_utf8(block.data(), block.size())) break;
    valid += block.size();
  }
  while (const size_t length = CharacterLength(text.substr(valid))) valid += length;
  return valid;
}

std::string EncodeSpaces(absl::string_view text) {
  return absl::StrReplaceAll(text, {{" ", kSpaceSymbol}});
}

std::string DecodeSpaces(absl::string_view text) {
  return absl::StrReplaceAll(text, {{kSpaceSymbol, " "}});
}

uint64_t CountSpaceSymbols(absl::string_view text) {
  uint64_t count = 0;
  for (size_t at = text.find(kSpaceSymbol); at != absl::string_view::npos;
       at = text.find(kSpaceSymbol, at + kSpaceSymbol.size())) {
    ++count;
  }
  return count;
}

}  // namespace weft
