#include "eval/windows.h"

#include <algorithm>

#include "proto/check.h"

namespace weft {

std::vector<Window> RollingWindows(int64_t token_count, int32_t length_max) {
  WEFT_CHECK(token_count >= 0 && length_max >= 1);
  std::vector<Window> windows;
  for (int64_t done = 0; done < token_count; done += windows.back().scored) {
    const auto scored = static_cast<int32_t>(std::min<int64_t>(token_count - done, length_max));
    // Only the first window may be shorter than the context: later ones have earlier tokens to be
    // filled up with.
    const int32_t length = done == 0 ? scored : length_max;
    windows.push_back({.first = done + scored - length, .length = length, .scored = scored});
  }
  return windows;
}

}  // namespace weft
