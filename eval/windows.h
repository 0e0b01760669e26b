// How a text longer than the model's context is cut into windows, so that every token is predicted
// exactly once.
//
// The scheme is that of the rolling log-likelihood of EleutherAI's lm-evaluation-harness with its
// maximum length L, which makes bits per byte comparable between tools. With tokens t[0] .. t[n-1]:
//
//   window 0        predicts t[0 .. L-1], given the begin token
//   window k        predicts the next L tokens, given the one token before them
//   last window     has fewer than L tokens left, and is filled up with earlier ones to length L
//
//   for (const Window& window : RollingWindows(tokens.size(), 1024)) ...
//
// Pure functions over plain values.
#ifndef WEFT_EVAL_WINDOWS_H_
#define WEFT_EVAL_WINDOWS_H_

#include <cstdint>
#include <vector>

namespace weft {

// The model reads t[first - 1 .. first + length - 2] (t[-1] is the begin token) and predicts
// t[first .. first + length - 1]. Only the last `scored` of these predictions count: the others
// were made by an earlier window.
struct Window {
  int64_t first = 0;
  int32_t length = 0;
  int32_t scored = 0;

  bool operator==(const Window&) const = default;
};

// Requires token_count >= 0 and length_max >= 1. No tokens: no windows.
std::vector<Window> RollingWindows(int64_t token_count, int32_t length_max);

}  // namespace weft

#endif  // WEFT_EVAL_WINDOWS_H_
