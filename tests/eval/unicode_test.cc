#include "eval/unicode.h"

#include <gtest/gtest.h>

#include <string>

namespace weft {
namespace {

TEST(UnicodeTest, FindsTheFirstByteThatIsNotUtf8) {
  EXPECT_EQ(FirstInvalidUtf8(""), std::nullopt);
  EXPECT_EQ(FirstInvalidUtf8("Grüße, 世界 🙂 \xED\x9F\xBF \xF4\x8F\xBF\xBF"), std::nullopt);
  EXPECT_EQ(FirstInvalidUtf8(std::string("a\0b", 3)), std::nullopt);
  EXPECT_EQ(FirstInvalidUtf8("ab\xFFzz"), 2u);
  EXPECT_EQ(FirstInvalidUtf8("ü\x80"), 2u);             // a continuation without its lead
  EXPECT_EQ(FirstInvalidUtf8("a\xE4\xB8"), 1u);         // cut off
  EXPECT_EQ(FirstInvalidUtf8("\xC0\x80"), 0u);          // overlong
  EXPECT_EQ(FirstInvalidUtf8("\xE0\x80\x80"), 0u);      // overlong
  EXPECT_EQ(FirstInvalidUtf8("\xF0\x80\x80\x80"), 0u);  // overlong
  EXPECT_EQ(FirstInvalidUtf8("\xED\xA0\x80"), 0u);      // surrogate
  EXPECT_EQ(FirstInvalidUtf8("\xF4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(FirstInvalidUtf8("\xF5\x80\x80\x80"), 0u);
}

TEST(UnicodeTest, CountsCharactersNotBytes) {
  EXPECT_EQ(CharacterCount(""), 0);
  EXPECT_EQ(CharacterCount("abc"), 3);
  EXPECT_EQ(CharacterCount("äß世🙂"), 4);
}

TEST(UnicodeTest, CutsTrailingSpaceAsPythonDoes) {
  EXPECT_EQ(LengthWithoutTrailingSpace(""), 0u);
  EXPECT_EQ(LengthWithoutTrailingSpace("  \n\t"), 0u);
  EXPECT_EQ(LengthWithoutTrailingSpace(" a b \r\n"), 4u);
  EXPECT_EQ(LengthWithoutTrailingSpace("世\u3000\u00A0\u2009\x1F"), 3u);
  EXPECT_EQ(LengthWithoutTrailingSpace("a\u200B"), 4u);  // zero-width space is none, as in Python
  EXPECT_EQ(LengthWithoutTrailingSpace("\u00A0ü"), 4u);
}

}  // namespace
}  // namespace weft
