#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace weft {
namespace {

// A code point in the generic form of Unicode 15, table 3-6, whether or not it is allowed.
std::string Spell(uint32_t code, int bytes) {
  if (bytes == 1) return std::string(1, static_cast<char>(code));
  std::string text;
  for (int i = 0; i < bytes - 1; ++i, code >>= 6)
    text.insert(text.begin(), static_cast<char>(0x80 | (code & 0x3f)));
  const uint32_t lead = bytes == 2 ? 0xc0 : bytes == 3 ? 0xe0 : bytes == 4 ? 0xf0 : 0xf8;
  text.insert(text.begin(), static_cast<char>(lead | code));
  return text;
}

TEST(Utf8, AcceptsEveryCodePointInItsShortestFormAndNothingElse) {
  for (uint32_t code = 0; code < 0x200000; code += code < 0x11000 ? 1 : 37) {
    const int shortest = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    for (int bytes = shortest; bytes <= 4; ++bytes) {
      const std::string text = Spell(code, bytes);
      const bool sound = bytes == shortest && !surrogate && code <= 0x10ffff;
      ASSERT_EQ(ValidUtf8Prefix(text), sound ? text.size() : 0) << code << " in " << bytes;
      ASSERT_EQ(ValidUtf8Prefix("ab" + text + "c"), sound ? text.size() + 3 : 2) << code;
    }
  }
}

TEST(Utf8, StopsBeforeACharacterThatIsCutOff) {
  const std::string whole = Spell(0x1f44d, 4) + Spell(0x5b57, 3) + Spell(0xe9, 2);
  EXPECT_EQ(ValidUtf8Prefix(whole), 9);
  for (const auto& [length, sound] :
       {std::pair(0, 0), {1, 0}, {2, 0}, {3, 0}, {4, 4}, {5, 4}, {6, 4}, {7, 7}, {8, 7}})
    EXPECT_EQ(ValidUtf8Prefix(absl::string_view(whole).substr(0, length)), sound) << length;
}

// Sound text is checked in blocks: characters across their borders, and an error at every place
// near one.
TEST(Utf8, FindsTheErrorWhereverItStandsInLongText) {
  for (const auto& character :
       {Spell('a', 1), Spell(0xe9, 2), Spell(0x5b57, 3), Spell(0x1f44d, 4)}) {
    for (size_t shift = 0; shift < 4; ++shift) {
      std::string text(shift, '.');
      while (text.size() < 13000) text += character;
      ASSERT_EQ(ValidUtf8Prefix(text), text.size()) << character << " " << shift;
      for (size_t at : {4090, 4093, 4094, 4095, 4096, 4097, 8190, 8192, 8195, 12288, 12999}) {
        at -= (at - shift) % character.size();
        std::string damaged = text;
        damaged[at] = '\xff';
        ASSERT_EQ(ValidUtf8Prefix(damaged), at) << character << " " << shift;
      }
    }
  }
}

TEST(Utf8, SpacesComeBack) {
  EXPECT_EQ(EncodeSpaces(" a  b"),
            "\xe2\x96\x81"
            "a\xe2\x96\x81\xe2\x96\x81"
            "b");
  EXPECT_EQ(DecodeSpaces(EncodeSpaces(" a  b\t\n")), " a  b\t\n");
  EXPECT_EQ(CountSpaceSymbols(EncodeSpaces(" a  b")), 3);
  EXPECT_EQ(CountSpaceSymbols("\xe2\x96\x82 \xe2\x96"), 0);
}

}  // namespace
}  // namespace weft
