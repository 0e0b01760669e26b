#include "tests/simulation/recompute.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

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

double OuterValue(const OuterOptimizer& outer, double z, double combined, float* momentum,
                  float* second_moment) {
  const double rate = outer.learning_rate(), beta = outer.momentum();
  const double gradient = z - combined;
  if (outer.name() == "adam") {
    *momentum = static_cast<float>(beta * *momentum + (1 - beta) * gradient);
    *second_moment = static_cast<float>(outer.beta2() * *second_moment +
                                        (1 - outer.beta2()) * (gradient * gradient));
    return z - rate * *momentum / (std::sqrt(double{*second_moment}) + outer.tau());
  }
  if (beta == 0) return (1 - rate) * z + rate * combined;
  *momentum = static_cast<float>(beta * *momentum + gradient);
  if (outer.nesterov()) return z - rate * (gradient + beta * *momentum);
  return z - rate * *momentum;
}

// Each with its part p_k in `weight`, and the scales of its changes beside it.
std::vector<double> Weigh(const ConsensusScheme& scheme, std::vector<PlainContribution>* all) {
  double sum = 0, steps = 0;
  for (PlainContribution& c : *all) {
    if (scheme.combine() != "mean") c.weight = 0;
    sum += c.weight;
  }
  bool same = true;
  for (PlainContribution& c : *all) {
    c.weight = sum == 0 ? 1.0 / static_cast<double>(all->size()) : c.weight / sum;
    steps += c.weight * c.inner_steps;
    same = same && c.inner_steps == all->front().inner_steps;
  }
  std::vector<double> scales;
  for (const PlainContribution& c : *all) {
    const bool scaled = scheme.influence().normalize_steps() && !same;
    scales.push_back(scaled ? steps / c.inner_steps : 1);
  }
  return scales;
}

double CombinedMean(const std::vector<PlainContribution>& contributions,
                    const std::vector<double>& scales, float z, size_t i) {
  double combined = 0, base = 0;
  for (size_t k = 0; k < scales.size(); ++k) {
    combined += contributions[k].weight * scales[k] * contributions[k].x[i];
    base += contributions[k].weight * (1 - scales[k]);
  }
  return combined + base * z;
}

double Sorted(const std::vector<PlainContribution>& contributions,
              const std::vector<double>& scales, float z, size_t i, size_t trimmed) {
  std::vector<double> values;
  for (size_t k = 0; k < scales.size(); ++k) {
    const double x = contributions[k].x[i];
    values.push_back(scales[k] == 1 ? x : z + scales[k] * (x - z));
  }
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (size_t k = trimmed; k < values.size() - trimmed; ++k) sum += values[k];
  return sum / static_cast<double>(values.size() - 2 * trimmed);
}

}  // namespace

PlainConsensus PlainOuterStep(const Scenario& scenario, const PlainConsensus& base,
                              std::vector<PlainContribution> contributions) {
  const ConsensusScheme& scheme = scenario.manifest.consensus();
  const std::vector<double> scales = Weigh(scheme, &contributions);
  const size_t middle = (scales.size() - 1) / 2;
  const size_t trimmed =
      scheme.combine() == "median" ? middle : std::min<size_t>(scheme.faulty_max(), middle);
  PlainConsensus next = base;
  for (size_t i = 0; i < base.z.size(); ++i) {
    const double combined = scheme.combine() == "mean"
                                ? CombinedMean(contributions, scales, base.z[i], i)
                                : Sorted(contributions, scales, base.z[i], i, trimmed);
    double target =
        OuterValue(scheme.outer(), base.z[i], combined, &next.momentum[i], &next.second_moment[i]);
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
