#include "coordinator/core/influence.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"

namespace weft {

absl::StatusOr<std::vector<double>> NormalizedWeights(absl::Span<const double> weights) {
  if (weights.empty()) return absl::InvalidArgumentError("no site to weight");
  double sum = 0;
  for (const double weight : weights) {
    if (!std::isfinite(weight) || weight < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("a site's weight is ", weight, ": it must be finite and not negative"));
    }
    sum += weight;
  }
  if (sum == 0)
    return std::vector<double>(weights.size(), 1.0 / static_cast<double>(weights.size()));
  if (std::count(weights.begin(), weights.end(), 0.0) > 0) {
    return absl::InvalidArgumentError(
        "some sites have a weight and some have none: give every site one, or none");
  }
  if (!std::isfinite(sum)) return absl::InvalidArgumentError("the sites' weights overflow");
  std::vector<double> normalized;
  normalized.reserve(weights.size());
  for (const double weight : weights) normalized.push_back(weight / sum);
  return normalized;
}

std::vector<double> CapWeights(std::vector<double> weights, double influence_max) {
  const size_t count = weights.size();
  const double equal = 1 / static_cast<double>(count);
  if (influence_max == 0) return weights;
  if (influence_max <= equal) return std::vector<double>(count, equal);
  std::vector<double> rising = weights;
  std::sort(rising.begin(), rising.end());
  std::vector<double> sums(count);  // of the smallest ones
  std::partial_sum(rising.begin(), rising.end(), sums.begin());
  // The greatest are capped one by one, until the greatest of the others stays below the cap with
  // its share of what the capped ones leave.
  size_t others = count;
  double factor = 1;
  while (rising[others - 1] * factor > influence_max) {
    if (--others == 0) break;  // only by rounding: a cap above 1/n leaves something to somebody
    factor = (1 - static_cast<double>(count - others) * influence_max) / sums[others - 1];
  }
  for (double& weight : weights) weight = std::min(weight * factor, influence_max);
  return weights;
}

absl::Status CheckMemberWeights(const Membership& membership) {
  std::vector<double> weights;
  for (const MemberSite& site : membership.sites()) weights.push_back(site.weight());
  return NormalizedWeights(weights).status();
}

bool HasSameParts(const Membership& before, const Membership& after) {
  const auto weights = [](const Membership& membership) {
    std::map<std::string, double> of_site;
    for (const MemberSite& site : membership.sites()) of_site[site.name()] = site.weight();
    return of_site;
  };
  return weights(before) == weights(after);
}

}  // namespace weft
