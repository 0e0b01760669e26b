#include "tests/simulation/recompute.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace weft::simulation {
namespace {

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

// What the contributions count, and the base.
struct Parts {
  std::vector<double> weights, scales;
  double base = 0;
};

// No site's part above the cap: the greatest are capped one by one, until the greatest of the
// others stays below it with its share of what they leave.
std::map<std::string, double> Capped(const std::map<std::string, double>& of_site, double cap) {
  double sum = 0;
  for (const auto& [site, weight] : of_site) sum += weight;
  std::map<std::string, double> capped;
  std::vector<double> rising;
  for (const auto& [site, weight] : of_site) rising.push_back(capped[site] = weight / sum);
  std::sort(rising.begin(), rising.end());
  const auto count = static_cast<double>(rising.size());
  size_t below = rising.size();
  double factor = 1;
  while (below > 0 && rising[below - 1] * factor > cap) {
    if (--below == 0) break;
    double left = 0;
    for (size_t i = 0; i < below; ++i) left += rising[i];
    factor = (1 - (count - static_cast<double>(below)) * cap) / left;
  }
  for (auto& [site, weight] : capped) {
    weight = cap <= 1 / count ? 1 / count : std::min(weight * factor, cap);
  }
  return capped;
}

void WeighAmongThem(const RunManifest& manifest, const std::vector<PlainContribution>& all,
                    Parts* parts) {
  const ConsensusScheme& scheme = manifest.consensus();
  const bool weighs = scheme.combine() == "mean" || scheme.combine() == "norm_clipped_mean";
  const bool tokens = scheme.influence().weights() == "tokens";
  double sum = 0;
  std::map<std::string, double> of_site;
  for (const PlainContribution& c : all) {
    const double whole = tokens ? static_cast<double>(c.token_count) : c.weight;
    const double discount =
        std::pow(1 + static_cast<double>(c.staleness), manifest.rounds().late_discount());
    parts->weights.push_back(weighs ? whole / discount : 1);
    sum += parts->weights.back();
    of_site[c.site] += parts->weights.back();
  }
  const double cap = scheme.influence().influence_max();
  std::map<std::string, double> capped;
  if (cap > 0) capped = Capped(of_site, cap);
  for (size_t k = 0; k < all.size(); ++k) {
    double& weight = parts->weights[k];
    const std::string& site = all[k].site;
    weight = cap > 0 ? weight * (capped[site] / of_site[site]) : weight / sum;
  }
}

Parts Weigh(const RunManifest& manifest, const std::vector<PlainContribution>& all,
            double all_members) {
  const ConsensusScheme& scheme = manifest.consensus();
  Parts parts;
  if (scheme.dual() || !scheme.asynchrony().empty()) {
    double sum = 0;
    for (const PlainContribution& c : all) {
      double part = 1;
      if (scheme.dual()) part = c.weight / all_members;
      if (scheme.asynchrony() == "delayed") {
        part /= std::pow(1 + static_cast<double>(c.staleness), manifest.rounds().late_discount());
      }
      parts.weights.push_back(part);
      sum += part;
    }
    parts.base = std::max(0.0, 1 - sum);
  } else {
    WeighAmongThem(manifest, all, &parts);
  }
  double steps = 0;
  bool same = true;
  for (size_t k = 0; k < all.size(); ++k) {
    steps += parts.weights[k] * all[k].inner_steps;
    same = same && all[k].inner_steps == all[0].inner_steps;
  }
  for (const PlainContribution& c : all) {
    const bool scaled = scheme.influence().normalize_steps() && !same;
    parts.scales.push_back(scaled ? steps / c.inner_steps : 1);
  }
  return parts;
}

double SquaredDistance(const PlainContribution& a, double scale_a, const PlainContribution* b,
                       double scale_b, const Vector& z) {
  double sum = 0;
  for (size_t i = 0; i < z.size(); ++i) {
    const double other = b == nullptr ? 0 : scale_b * (double{b->x[i]} - double{z[i]});
    sum += std::pow(scale_a * (double{a.x[i]} - double{z[i]}) - other, 2);
  }
  return sum;
}

// Norms above the bound, `factor` times their median, are cut to it; the base takes what is left.
void ClipNorms(const std::vector<PlainContribution>& all, const Vector& z, double factor,
               Parts* parts) {
  std::vector<double> norms;
  for (size_t k = 0; k < all.size(); ++k) {
    norms.push_back(std::sqrt(SquaredDistance(all[k], parts->scales[k], nullptr, 0, z)));
  }
  std::vector<double> rising = norms;
  std::sort(rising.begin(), rising.end());
  const size_t middle = rising.size() / 2;
  const double median =
      rising.size() % 2 == 1 ? rising[middle] : (rising[middle - 1] + rising[middle]) / 2;
  for (size_t k = 0; k < all.size(); ++k) {
    if (norms[k] <= factor * median) continue;
    const double kept = factor * median / norms[k], whole = parts->weights[k];
    parts->weights[k] = whole * kept;
    parts->base += whole * (1 - kept);
  }
}

// The one whose K - f - 2 nearest are nearest; of equal ones the first.
void SelectByKrum(const std::vector<PlainContribution>& all, const Vector& z, size_t faulty,
                  Parts* parts) {
  size_t selected = 0;
  double lowest = HUGE_VAL;
  for (size_t k = 0; k < all.size(); ++k) {
    std::vector<double> near;
    for (size_t j = 0; j < all.size(); ++j) {
      if (j == k) continue;
      near.push_back(SquaredDistance(all[k], parts->scales[k], &all[j], parts->scales[j], z));
    }
    std::sort(near.begin(), near.end());
    double score = 0;
    for (size_t i = 0; i + faulty + 2 < all.size(); ++i) score += near[i];
    if (score >= lowest) continue;
    lowest = score;
    selected = k;
  }
  for (double& weight : parts->weights) weight = 0;
  parts->weights[selected] = 1;
}

double CombinedMean(const std::vector<PlainContribution>& contributions, const Parts& parts,
                    float z, size_t i) {
  double combined = 0, base = parts.base;
  for (size_t k = 0; k < contributions.size(); ++k) {
    combined += parts.weights[k] * parts.scales[k] * contributions[k].x[i];
    base += parts.weights[k] * (1 - parts.scales[k]);
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
                              const std::vector<PlainContribution>& contributions,
                              double all_members) {
  const ConsensusScheme& scheme = scenario.manifest.consensus();
  Parts parts = Weigh(scenario.manifest, contributions, all_members);
  if (scheme.combine() == "norm_clipped_mean") {
    ClipNorms(contributions, base.z, scheme.clip_factor(), &parts);
  } else if (scheme.combine() == "krum") {
    SelectByKrum(contributions, base.z, scheme.faulty_max(), &parts);
  }
  const bool sorts = scheme.combine() == "median" || scheme.combine() == "trimmed_mean";
  const size_t middle = (contributions.size() - 1) / 2;
  const size_t trimmed =
      scheme.combine() == "median" ? middle : std::min<size_t>(scheme.faulty_max(), middle);
  PlainConsensus next = base;
  std::vector<double> target(base.z.size());
  for (size_t i = 0; i < base.z.size(); ++i) {
    const double combined = sorts ? Sorted(contributions, parts.scales, base.z[i], i, trimmed)
                                  : CombinedMean(contributions, parts, base.z[i], i);
    target[i] =
        OuterValue(scheme.outer(), base.z[i], combined, &next.momentum[i], &next.second_moment[i]);
    if (IsDelta(scenario.down)) target[i] += base.residual[i];
    next.z[i] = static_cast<float>(target[i]);
  }
  if (IsDelta(scenario.down)) {
    PlainRounding(scenario.down, base.z, &next.z);
    for (size_t i = 0; i < target.size(); ++i) {
      next.residual[i] = static_cast<float>(target[i] - next.z[i]);
    }
  }
  next.digest = DigestOf(PlainBlob(next.z, scenario.part(base.fragment)));
  return next;
}

}  // namespace weft::simulation
