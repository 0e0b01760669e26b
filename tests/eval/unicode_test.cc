#include "eval/unicode.h"

#include <gtest/gtest.h>

namespace weft {
namespace {

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
