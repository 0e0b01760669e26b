#include "coordinator/core/combination_check.h"

#include <cmath>
#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/core/aggregator.h"
#include "coordinator/core/outer_optimizer.h"

namespace weft {
namespace {

struct Refusable {
  bool refused;
  const char* why;
};

absl::Status FirstRefused(std::initializer_list<Refusable> conditions) {
  for (const Refusable& condition : conditions) {
    if (condition.refused) return absl::InvalidArgumentError(condition.why);
  }
  return absl::OkStatus();
}

bool IsOneOf(const std::string& value, std::initializer_list<absl::string_view> names) {
  for (const absl::string_view name : names) {
    if (value == name) return true;
  }
  return false;
}

absl::Status CheckRule(const ConsensusScheme& scheme, const RoundRules& rules) {
  const absl::StatusOr<const CombinationRule*> rule = FindRule(scheme.combine());
  if (!rule.ok()) return rule.status();
  const Influence& influence = scheme.influence();
  const bool clips = scheme.combine() == "norm_clipped_mean";
  const bool equal = !(*rule)->weighted, faulty = (*rule)->bounds_faulty;
  absl::Status status = FirstRefused({
      {equal && influence.weights() == "tokens",
       "consensus.influence.weights is tokens: this combine ignores weights"},
      {equal && influence.influence_max() != 0,
       "consensus.influence.influence_max is set: this combine ignores weights"},
      {equal && rules.late() == "carry",
       "rounds.late is carry: a late contribution would be a second one of its site, and count as "
       "much as any, which this combine cannot bound"},
      {faulty && scheme.faulty_max() == 0,
       "consensus.faulty_max is missing: trimmed_mean and krum need to know how many to bear"},
      {!faulty && scheme.faulty_max() != 0,
       "consensus.faulty_max is set: only trimmed_mean and krum take it"},
      {clips && !(std::isfinite(scheme.clip_factor()) && scheme.clip_factor() > 0),
       "consensus.clip_factor of norm_clipped_mean: expected above 0"},
      {!clips && scheme.clip_factor() != 0,
       "consensus.clip_factor is set: only norm_clipped_mean takes it"},
  });
  if (!status.ok()) return status;
  const uint64_t needed = (*rule)->contributions_min(scheme.faulty_max());
  if (rules.quorum() >= needed) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "rounds.quorum is ", rules.quorum(), ": ", scheme.combine(),
      faulty ? absl::StrCat(" with faulty_max ", scheme.faulty_max()) : "", " needs ", needed));
}

absl::Status CheckInfluence(const Influence& influence) {
  const double cap = influence.influence_max(), rise = influence.validation_rise_max();
  return FirstRefused({
      {!IsOneOf(influence.weights(), {"", "equal", "tokens"}),
       "consensus.influence.weights: expected equal or tokens"},
      {!(cap >= 0 && cap <= 1), "consensus.influence.influence_max: expected 0 .. 1"},
      {!(std::isfinite(rise) && rise >= 0),
       "consensus.influence.validation_rise_max: expected 0 or above"},
      {rise > 0 && influence.validation_samples() == 0,
       "consensus.influence.validation_samples is missing: the quality floor needs them"},
  });
}

bool IsPlainSgd(const OuterOptimizer& outer) {
  return outer.name() == "sgd" && outer.momentum() == 0 && !outer.nesterov();
}

// A round of one contribution has nobody to compare it with, and nothing to normalise over.
absl::Status CheckWithoutBarrier(const ConsensusScheme& scheme, const RoundRules& rules) {
  if (!IsOneOf(scheme.asynchrony(), {"", "delayed", "elastic"})) {
    return absl::InvalidArgumentError("consensus.asynchrony: expected delayed or elastic");
  }
  if (scheme.asynchrony().empty()) return absl::OkStatus();
  const Influence& influence = scheme.influence();
  return FirstRefused({
      {scheme.combine() != "mean", "consensus.asynchrony needs combine mean"},
      {scheme.dual(), "consensus.asynchrony and consensus.dual exclude each other"},
      {influence.weights() == "tokens" || influence.influence_max() != 0,
       "consensus.influence weighs the sites of a round: with asynchrony there is one"},
      {influence.normalize_steps(),
       "consensus.influence.normalize_steps: with asynchrony there is no mean number of steps"},
      {rules.norm_factor_max() != 0,
       "rounds.norm_factor_max: with asynchrony there is no median norm"},
      {rules.late() != "carry",
       "rounds.late: with asynchrony it is carry, and late_staleness_max bounds how old a base may "
       "be"},
      {scheme.asynchrony() == "elastic" && !IsPlainSgd(scheme.outer()),
       "consensus.outer: elastic averaging moves the consensus by sgd without momentum"},
  });
}

absl::Status CheckDual(const ConsensusScheme& scheme) {
  if (!scheme.dual()) return absl::OkStatus();
  const Influence& influence = scheme.influence();
  return FirstRefused({
      {scheme.combine() != "mean", "consensus.dual needs combine mean"},
      {!IsPlainSgd(scheme.outer()) || scheme.outer().learning_rate() != 1,
       "consensus.dual needs outer sgd with learning_rate 1 and no momentum: z is the sum of what "
       "the sites have sent"},
      {influence.weights() == "tokens" || influence.influence_max() != 0,
       "consensus.influence: with dual the weights are the membership's, the same in every round"},
      {influence.normalize_steps(),
       "consensus.influence.normalize_steps: with dual a site sends no sum of gradient steps"},
  });
}

}  // namespace

absl::Status CheckCombination(const ConsensusScheme& scheme, const RoundRules& rules) {
  absl::Status status = CheckRule(scheme, rules);
  if (status.ok()) status = CheckInfluence(scheme.influence());
  if (status.ok()) status = CheckWithoutBarrier(scheme, rules);
  if (status.ok()) status = CheckDual(scheme);
  if (status.ok()) status = MakeOuterUpdate(scheme.outer()).status();
  return status;
}

}  // namespace weft
