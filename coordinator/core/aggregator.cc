#include "coordinator/core/aggregator.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/core/geometric_median.h"
#include "coordinator/core/krum.h"
#include "coordinator/core/mean.h"
#include "coordinator/core/median.h"
#include "coordinator/core/norm_clipped_mean.h"
#include "coordinator/core/trimmed_mean.h"
#include "proto/check.h"

namespace weft {
namespace {

// The fewest contributions of which `faulty_max` (where the rule takes it), or one, may be wrong.
constexpr CombinationRule kRules[] = {
    {"mean", true, false, false, [](uint64_t) { return uint64_t{1}; },
     [](const ConsensusScheme&, const Cohort& cohort, const ChangeProducts*) {
       return Mean::Create(cohort);
     }},
    {"norm_clipped_mean", true, true, false, [](uint64_t) { return uint64_t{3}; },
     [](const ConsensusScheme& scheme, const Cohort& cohort, const ChangeProducts* products) {
       return Mean::Create(ClipNorms(cohort, *products, scheme.clip_factor()));
     }},
    {"trimmed_mean", false, false, true, [](uint64_t b) { return 2 * b + 1; },
     [](const ConsensusScheme& scheme, const Cohort& cohort, const ChangeProducts*) {
       return TrimmedMean::Create(scheme.faulty_max(), cohort.scales);
     }},
    {"median", false, false, false, [](uint64_t) { return uint64_t{3}; },
     [](const ConsensusScheme&, const Cohort& cohort, const ChangeProducts*) {
       return MakeMedian(cohort.scales);
     }},
    {"krum", false, true, true, [](uint64_t f) { return 2 * f + 3; },
     [](const ConsensusScheme& scheme, const Cohort& cohort, const ChangeProducts* products) {
       return Mean::Create(SelectByKrum(cohort, *products, scheme.faulty_max()));
     }},
    {"geometric_median", false, true, false, [](uint64_t) { return uint64_t{3}; },
     [](const ConsensusScheme&, const Cohort& cohort, const ChangeProducts* products) {
       return Mean::Create(WeighByGeometricMedian(cohort, *products));
     }},
};

}  // namespace

Cohort CohortOf(const RoundRecord& record) {
  Cohort cohort;
  for (const StoredContribution& c : record.contributions()) {
    cohort.weights.push_back(c.weight());
    cohort.scales.push_back(c.scale() == 0 ? 1 : c.scale());
  }
  cohort.base_weight = record.base_weight();
  return cohort;
}

absl::StatusOr<const CombinationRule*> FindRule(absl::string_view name) {
  std::string known;
  for (const CombinationRule& rule : kRules) {
    if (rule.name == name) return &rule;
    absl::StrAppend(&known, known.empty() ? "" : ", ", rule.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("consensus.combine is \"", name, "\": expected one of ", known));
}

absl::StatusOr<std::unique_ptr<Aggregator>> MakeAggregator(const ConsensusScheme& scheme,
                                                           const Cohort& cohort,
                                                           const ChangeProducts* products) {
  const absl::StatusOr<const CombinationRule*> rule = FindRule(scheme.combine());
  if (!rule.ok()) return rule.status();
  WEFT_CHECK(cohort.weights.size() == cohort.scales.size());
  const uint64_t needed = (*rule)->contributions_min(scheme.faulty_max());
  if (cohort.weights.size() < needed) {
    return absl::InvalidArgumentError(absl::StrCat(scheme.combine(), " needs ", needed,
                                                   " contributions, the round has ",
                                                   cohort.weights.size()));
  }
  WEFT_CHECK(!(*rule)->needs_products ||
             (products != nullptr && products->size() == cohort.scales.size()));
  return (*rule)->create(scheme, cohort, products);
}

}  // namespace weft
