// The draws of this folder: a counter-based generator, so that any draw can be made on its own and
// machines agree.
//
//   const double u = UnitAt(SplitMix64(seed), position);   // the draw for that position, in [0, 1)
//
// Source: Steele, Lea and Flood 2014 (SplitMix64's output function). Pure.
#ifndef WEFT_MODEL_RANDOM_H_
#define WEFT_MODEL_RANDOM_H_

#include <cstdint>

namespace weft {

inline uint64_t SplitMix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// In [0, 1), from 53 bits.
inline double UnitAt(uint64_t key, uint64_t counter) {
  return static_cast<double>(SplitMix64(key + counter) >> 11) / 9007199254740992.0;
}

}  // namespace weft

#endif  // WEFT_MODEL_RANDOM_H_
