// What the conformance tests of the kernels share: every instruction set of this CPU in turn,
// awkward numbers, and comparison of bits.
#ifndef WEFT_TESTS_KERNELS_BACK_ENDS_H_
#define WEFT_TESTS_KERNELS_BACK_ENDS_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "hwy/highway.h"
#include "kernels/highway_targets.h"

namespace weft::kernels::testing {

// Lengths around every vector width, so that each loop meets an empty, a short and a full tail.
inline const std::vector<size_t>& Lengths() {
  static const std::vector<size_t> lengths = {0,  1,  2,  3,  5,  7,  8,  9,  15,  16,   17,
                                              23, 31, 32, 33, 47, 63, 64, 65, 127, 1000, 4099};
  return lengths;
}

// Runs `check` once for each instruction set that was compiled and that this CPU has, then with the
// best one.
inline void ForEachInstructionSet(const std::function<void()>& check) {
  const std::vector<int64_t> targets = hwy::SupportedAndGeneratedTargets();
  ASSERT_FALSE(targets.empty());
  for (const int64_t target : targets) {
    SCOPED_TRACE(std::string("instruction set ") + hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    check();
  }
  hwy::SetSupportedTargetsForTest(0);
  check();
}

// Mostly ordinary numbers; one in eight is a zero, a denormal or near the largest float. Never NaN
// or infinite.
inline std::vector<float> AwkwardNumbers(size_t n, uint32_t seed, float scale = 1.0f) {
  static constexpr float kAwkward[] = {0.0f,    -0.0f,  1e-45f, -1e-45f, 1.17549421e-38f,
                                       -3e-39f, 1e-20f, 3e18f,  -3e18f,  1.0f};
  std::mt19937 random(seed);
  std::vector<float> numbers(n);
  for (float& x : numbers) {
    const uint32_t draw = random();
    x = draw % 8 == 0 ? kAwkward[(draw / 8) % 10]
                      : scale * (static_cast<float>(draw >> 8) / 8388608.0f - 1.0f);
  }
  return numbers;
}

template <typename T>
void ExpectSameBits(const std::vector<T>& got, const std::vector<T>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::memcmp(&got[i], &want[i], sizeof(T)), 0)
        << "element " << i << " of " << got.size() << ": " << got[i] << " instead of " << want[i];
  }
}

}  // namespace weft::kernels::testing

#endif  // WEFT_TESTS_KERNELS_BACK_ENDS_H_
