#include "coordinator/core/inclusion.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/influence.h"
#include "coordinator/core/message_lists.h"
#include "proto/check.h"

namespace weft {
namespace {

// Of the fresh contributions; of an even number the mean of the middle two.
double MedianNorm(const RoundState& state) {
  std::vector<double> norms;
  for (const StoredContribution& c : state.current().contributions()) {
    norms.push_back(c.update_norm());
  }
  if (norms.empty()) return 0;
  std::sort(norms.begin(), norms.end());
  const size_t middle = norms.size() / 2;
  return norms.size() % 2 == 1 ? norms[middle] : (norms[middle - 1] + norms[middle]) / 2;
}

// Why it is left out; empty: it is not.
std::string ReasonAgainst(const RoundRules& rules, const StoredContribution& c, double median) {
  if (c.staleness() > LateStalenessMax(rules)) {
    return absl::StrCat("its base, version ", c.base_version(), ", is ", c.staleness(),
                        " versions old, the run takes ", LateStalenessMax(rules));
  }
  const double factor = rules.norm_factor_max();
  if (factor > 0 && (c.update_norm() > factor * median || c.update_norm() * factor < median)) {
    return absl::StrCat("its norm ", c.update_norm(), " is not within a factor of ", factor,
                        " of the cohort's median, ", median);
  }
  return "";
}

double Weight(const RunManifest& manifest, const RoundState& state, const StoredContribution& c) {
  const MemberSite* member = FindMember(state, c.site());
  WEFT_CHECK(member != nullptr);  // what a removed site stored was dropped with it
  const double weight = member->weight() > 0 ? member->weight() : 1;
  const auto staleness = static_cast<double>(c.staleness());
  return weight / std::pow(1 + staleness, manifest.rounds().late_discount());
}

}  // namespace

uint32_t LateStalenessMax(const RoundRules& rules) {
  return rules.late() == "carry" ? std::max(rules.late_staleness_max(), 1u) : 0;
}

uint32_t InnerStepsMin(const RoundRules& rules) {
  return rules.inner_steps_min() > 0 ? rules.inner_steps_min() : rules.inner_steps();
}

uint64_t Staleness(const RoundState& state, uint64_t base_version) {
  uint64_t base = state.consensus().version();
  if (state.phase() == RoundEvent::AGGREGATING || state.phase() == RoundEvent::EVALUATING) ++base;
  return base > base_version ? base - base_version : 0;
}

Inclusion DecideInclusion(const RunManifest& manifest, const RoundState& state) {
  Inclusion inclusion;
  const double median = MedianNorm(state);
  const auto decide = [&](StoredContribution c, uint64_t staleness) {
    c.set_staleness(staleness);
    std::string reason = ReasonAgainst(manifest.rounds(), c, median);
    if (reason.empty()) {
      inclusion.fresh += staleness == 0;
      inclusion.included.push_back(std::move(c));
    } else {
      ExcludedContribution excluded;
      *excluded.mutable_contribution() = std::move(c);
      excluded.set_reason(std::move(reason));
      inclusion.excluded.push_back(std::move(excluded));
    }
  };
  for (const StoredContribution& c : state.current().contributions()) decide(c, 0);
  for (const StoredContribution& c : state.carried()) {
    decide(c, state.consensus().version() - c.base_version());
  }
  if (inclusion.included.empty()) return inclusion;
  SortBy(&inclusion.included,
         [](const StoredContribution& c) { return std::make_tuple(c.site(), c.base_version()); });
  std::vector<double> weights;
  for (const StoredContribution& c : inclusion.included) {
    weights.push_back(Weight(manifest, state, c));
  }
  const absl::StatusOr<std::vector<double>> normalized = NormalizedWeights(weights);
  WEFT_CHECK(normalized.ok());  // positive by construction
  for (size_t k = 0; k < weights.size(); ++k) {
    inclusion.included[k].set_weight((*normalized)[k]);
  }
  return inclusion;
}

}  // namespace weft
