#include "tests/simulation/recompute.h"

#include <cstring>

namespace weft::simulation {
namespace {

// To the nearest bf16, ties to even.
float RoundToBf16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  bits += 0x7fff + ((bits >> 16) & 1);
  bits &= 0xffff0000u;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

double OuterValue(const OuterOptimizer& outer, double z, double combined, float* momentum) {
  const double rate = outer.learning_rate();
  if (outer.momentum() == 0) return (1 - rate) * z + rate * combined;
  const double gradient = z - combined;
  *momentum = static_cast<float>(outer.momentum() * *momentum + gradient);
  if (outer.nesterov()) return z - rate * (gradient + outer.momentum() * *momentum);
  return z - rate * *momentum;
}

}  // namespace

PlainConsensus PlainOuterStep(const Scenario& scenario, const PlainConsensus& base,
                              const std::vector<PlainContribution>& contributions) {
  double sum = 0;
  for (const PlainContribution& c : contributions) sum += c.weight;
  PlainConsensus next = base;
  for (size_t i = 0; i < base.z.size(); ++i) {
    double combined = 0;
    for (const PlainContribution& c : contributions) {
      const double part =
          sum == 0 ? 1.0 / static_cast<double>(contributions.size()) : c.weight / sum;
      combined += part * c.x[i];
    }
    double target =
        OuterValue(scenario.manifest.consensus().outer(), base.z[i], combined, &next.momentum[i]);
    if (scenario.down == Encoding::kParametersFp32) {
      next.z[i] = static_cast<float>(target);
      continue;
    }
    target += base.residual[i];
    next.z[i] = base.z[i] + RoundToBf16(static_cast<float>(target) - base.z[i]);
    next.residual[i] = static_cast<float>(target - next.z[i]);
  }
  next.digest = DigestOf(*EncodeBlob(Encoding::kParametersFp32, next.z, {}, ""));
  return next;
}

}  // namespace weft::simulation
