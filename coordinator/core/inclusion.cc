#include "coordinator/core/inclusion.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/aggregator.h"
#include "coordinator/core/influence.h"
#include "coordinator/core/median.h"
#include "coordinator/core/message_lists.h"
#include "proto/check.h"

namespace weft {
namespace {

bool HasBarrier(const RunManifest& manifest) { return manifest.consensus().asynchrony().empty(); }

// Of the fresh contributions; of an even number the mean of the middle two.
double MedianNorm(const RoundState& state) {
  std::vector<double> norms;
  for (const StoredContribution& c : state.current().contributions()) {
    norms.push_back(c.update_norm());
  }
  return norms.empty() ? 0 : MedianOf(std::move(norms));
}

// Why the site's own held-out text speaks against it; a site that declares no loss says nothing.
std::string QualityReason(const Influence& influence, const StoredContribution& c) {
  const double before = c.validation_before(), after = c.validation_after();
  if (influence.validation_rise_max() == 0 || (before == 0 && after == 0)) return "";
  if (after - before <= influence.validation_rise_max()) return "";  // not so where one is NaN
  return absl::StrCat("its loss on its own held-out text went from ", before, " to ", after,
                      " nats per token, the run takes a rise of ", influence.validation_rise_max());
}

// Why it is left out; empty: it is not.
std::string ReasonAgainst(const RunManifest& manifest, const StoredContribution& c, double median) {
  const RoundRules& rules = manifest.rounds();
  if (c.staleness() > LateStalenessMax(rules)) {
    return absl::StrCat("its base, version ", c.base_version(), ", is ", c.staleness(),
                        " versions old, the run takes ", LateStalenessMax(rules));
  }
  const double factor = rules.norm_factor_max();
  if (factor > 0 && (c.update_norm() > factor * median || c.update_norm() * factor < median)) {
    return absl::StrCat("its norm ", c.update_norm(), " is not within a factor of ", factor,
                        " of the cohort's median, ", median);
  }
  const Influence& influence = manifest.consensus().influence();
  if (influence.weights() == "tokens" && c.token_count() == 0) {
    return "it declares no tokens, by which the run weighs";
  }
  return QualityReason(influence, c);
}

double MemberWeight(const MemberSite& member) { return member.weight() > 0 ? member.weight() : 1; }

double Discount(const RunManifest& manifest, const StoredContribution& c) {
  return std::pow(1 + static_cast<double>(c.staleness()), manifest.rounds().late_discount());
}

double Weight(const RunManifest& manifest, const RoundState& state, const StoredContribution& c) {
  const MemberSite* member = FindMember(state, c.site());
  WEFT_CHECK(member != nullptr);  // what a removed site stored was dropped with it
  const absl::StatusOr<const CombinationRule*> rule = FindRule(manifest.consensus().combine());
  if (rule.ok() && !(*rule)->weighted) return 1;
  const bool tokens = manifest.consensus().influence().weights() == "tokens";
  const double weight = tokens ? static_cast<double>(c.token_count()) : MemberWeight(*member);
  return weight / Discount(manifest, c);
}

// Their parts in a round with a barrier: they sum to 1.
std::vector<double> RelativeWeights(const RunManifest& manifest, const RoundState& state,
                                    const std::vector<StoredContribution>& included) {
  std::vector<double> weights;
  std::map<std::string, double> of_site;  // a late one and one of this round may be of one site
  for (const StoredContribution& c : included) {
    weights.push_back(Weight(manifest, state, c));
    of_site[c.site()] += weights.back();
  }
  absl::StatusOr<std::vector<double>> normalized = NormalizedWeights(weights);
  WEFT_CHECK(normalized.ok());  // positive by construction
  const double influence_max = manifest.consensus().influence().influence_max();
  if (influence_max == 0) return *std::move(normalized);
  std::vector<double> sites;
  for (const auto& [site, weight] : of_site) sites.push_back(weight);
  const std::vector<double> capped = CapWeights(*NormalizedWeights(sites), influence_max);
  size_t number = 0;
  for (auto& [site, weight] : of_site) weight = capped[number++] / weight;
  for (size_t k = 0; k < weights.size(); ++k) weights[k] *= of_site[included[k].site()];
  return weights;
}

// Of the whole membership: a site that is absent keeps its part, and so does one that was revoked,
// because what it sent stays in the consensus.
double FixedWeight(const RoundState& state, const StoredContribution& c) {
  double sum = 0;
  for (const MemberSite& member : state.membership().sites()) sum += MemberWeight(member);
  const MemberSite* member = FindMember(state, c.site());
  WEFT_CHECK(member != nullptr && !member->revoked());
  return MemberWeight(*member) / sum;
}

void Weigh(const RunManifest& manifest, const RoundState& state, Inclusion* inclusion) {
  std::vector<StoredContribution>& included = inclusion->included;
  if (HasBarrier(manifest) && !manifest.consensus().dual()) {
    const std::vector<double> weights = RelativeWeights(manifest, state, included);
    for (size_t k = 0; k < weights.size(); ++k) included[k].set_weight(weights[k]);
    return;
  }
  double sum = 0;
  for (StoredContribution& c : included) {
    if (manifest.consensus().dual()) {
      c.set_weight(FixedWeight(state, c));
    } else {
      const bool delayed = manifest.consensus().asynchrony() == "delayed";
      const double part = 1 / static_cast<double>(included.size());  // of one
      c.set_weight(delayed ? part / Discount(manifest, c) : part);
    }
    sum += c.weight();
  }
  inclusion->base_weight = std::max(0.0, 1 - sum);
}

// FedNova (Wang et al. 2020, equation 6, with the counts of steps as they are for plain local SGD):
// each change is divided by its own number of steps and multiplied by tau_eff = sum_k p_k steps_k,
// which is what FedAvg makes of it when all do the same.
void NormalizeSteps(std::vector<StoredContribution>* included) {
  double mean = 0;
  bool same = true;
  for (const StoredContribution& c : *included) {
    mean += c.weight() * c.inner_steps();
    same = same && c.inner_steps() == included->front().inner_steps();
  }
  if (same) return;  // a mean may miss by a rounding what all of them are
  for (StoredContribution& c : *included) {
    c.set_scale(mean / std::max(c.inner_steps(), 1u));
  }
}

}  // namespace

uint32_t LateStalenessMax(const RoundRules& rules) {
  return rules.late() == "carry" ? std::max(rules.late_staleness_max(), 1u) : 0;
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
    std::string reason = ReasonAgainst(manifest, c, median);
    if (reason.empty()) {
      inclusion.fresh += staleness == 0 || !HasBarrier(manifest);
      inclusion.included.push_back(std::move(c));
    } else {
      ExcludedContribution excluded;
      *excluded.mutable_contribution() = std::move(c);
      excluded.set_reason(std::move(reason));
      inclusion.excluded.push_back(std::move(excluded));
    }
  };
  const auto versions_old = [&](const StoredContribution& c) {
    return state.consensus().version() - c.base_version();
  };
  for (const StoredContribution& c : state.current().contributions()) {
    decide(c, HasBarrier(manifest) ? 0 : versions_old(c));
  }
  if (HasBarrier(manifest)) {  // otherwise those wait for rounds of their own
    for (const StoredContribution& c : state.carried()) decide(c, versions_old(c));
  }
  if (inclusion.included.empty()) return inclusion;
  SortBy(&inclusion.included,
         [](const StoredContribution& c) { return std::make_tuple(c.site(), c.base_version()); });
  Weigh(manifest, state, &inclusion);
  if (manifest.consensus().influence().normalize_steps()) NormalizeSteps(&inclusion.included);
  return inclusion;
}

}  // namespace weft
