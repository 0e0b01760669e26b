#include "eval/windows.h"

#include <gtest/gtest.h>

#include <vector>

namespace weft {

// For gtest's messages.
void PrintTo(const Window& window, std::ostream* out) {
  *out << "{" << window.first << ", " << window.length << ", " << window.scored << "}";
}

namespace {

struct Golden {
  int64_t token_count;
  int32_t length_max;
  std::vector<Window> windows;
};

// Printed by tests/testing/rolling_windows.py, which works on lists of tokens instead of positions.
const Golden kGolden[] = {
    {0, 4, {}},
    {1, 4, {{0, 1, 1}}},
    {3, 4, {{0, 3, 3}}},
    {4, 4, {{0, 4, 4}}},
    {5, 4, {{0, 4, 4}, {1, 4, 1}}},
    {8, 4, {{0, 4, 4}, {4, 4, 4}}},
    {11, 4, {{0, 4, 4}, {4, 4, 4}, {7, 4, 3}}},
    {3, 1, {{0, 1, 1}, {1, 1, 1}, {2, 1, 1}}},
    {7, 2, {{0, 2, 2}, {2, 2, 2}, {4, 2, 2}, {5, 2, 1}}},
    {2050, 1024, {{0, 1024, 1024}, {1024, 1024, 1024}, {1026, 1024, 2}}},
};

TEST(WindowsTest, EqualsGoldenValues) {
  for (const Golden& golden : kGolden) {
    EXPECT_EQ(RollingWindows(golden.token_count, golden.length_max), golden.windows)
        << golden.token_count << " tokens, at most " << golden.length_max;
  }
}

TEST(WindowsTest, PredictsEveryTokenOnceFromAsMuchContextAsFits) {
  for (int64_t token_count = 0; token_count <= 50; ++token_count) {
    for (int32_t length_max = 1; length_max <= 12; ++length_max) {
      int64_t next = 0;
      for (const Window& window : RollingWindows(token_count, length_max)) {
        const int64_t end = window.first + window.length;
        EXPECT_EQ(end - window.scored, next);
        EXPECT_GE(window.first, 0);
        EXPECT_GE(window.scored, 1);
        EXPECT_TRUE(window.length == length_max || (window.first == 0 && end == token_count));
        next = end;
      }
      EXPECT_EQ(next, token_count);
    }
  }
}

TEST(WindowsTest, CountsTokensBeyond32Bits) {
  const std::vector<Window> windows = RollingWindows(int64_t{5} << 30, 1 << 30);
  ASSERT_EQ(windows.size(), 5u);
  EXPECT_EQ(windows.back(), (Window{int64_t{4} << 30, 1 << 30, 1 << 30}));
}

TEST(WindowsDeathTest, StopsOnALengthBelowOne) {
  EXPECT_DEATH(RollingWindows(3, 0), "length_max >= 1");
}

}  // namespace
}  // namespace weft
