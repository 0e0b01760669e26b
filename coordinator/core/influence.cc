#include "coordinator/core/influence.h"

#include <algorithm>
#include <cmath>

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

absl::Status CheckMemberWeights(const Membership& membership) {
  std::vector<double> weights;
  for (const MemberSite& site : membership.sites()) weights.push_back(site.weight());
  return NormalizedWeights(weights).status();
}

}  // namespace weft
