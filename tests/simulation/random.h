// Draws of a simulated federation: splitmix64 (Steele, Lea, Flood 2014), the same on every machine.
// All of a federation's chance comes from one of these, so that its seed replays it. A value.
#ifndef WEFT_TESTS_SIMULATION_RANDOM_H_
#define WEFT_TESTS_SIMULATION_RANDOM_H_

#include <cstdint>

namespace weft::simulation {

inline uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15u); }
  // In [0, n). Requires n > 0.
  uint64_t Below(uint64_t n) { return Next() % n; }
  // In [low, high].
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low) + 1));
  }
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  bool Chance(double probability) { return Unit() < probability; }

 private:
  uint64_t state_;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_RANDOM_H_
