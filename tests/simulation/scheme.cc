// The consensus scheme of a federation: barriers or none, duals, fragments, encodings, influence.
// Draws of their own, so that what is drawn elsewhere stays what it was.
#include <algorithm>
#include <cstdio>

#include "ops/manifest_problems.h"
#include "proto/check.h"
#include "tests/simulation/random.h"
#include "tests/simulation/scenario.h"

namespace weft::simulation {
namespace {

void SetPlainSgd(double rate, ConsensusScheme* scheme) {
  OuterOptimizer* outer = scheme->mutable_outer();
  outer->Clear();
  outer->set_name("sgd");
  outer->set_learning_rate(rate);
}

void CombineByMean(ConsensusScheme* scheme) {
  scheme->set_combine("mean");
  scheme->clear_faulty_max();
  scheme->clear_clip_factor();
  scheme->clear_influence();
}

// While a site trains, each of the others makes a version.
void TakeLate(Random* random, RoundRules* rules) {
  rules->set_late("carry");
  rules->set_late_staleness_max(rules->sites_to_start() +
                                static_cast<uint32_t>(random->Between(0, 4)));
}

void RefuseLate(RoundRules* rules) {
  rules->clear_late();
  rules->clear_late_staleness_max();
  rules->clear_late_discount();
}

void LeaveEvaluationOut(RoundRules* rules) {
  rules->clear_evaluation_seconds_max();
  rules->clear_evaluation_missing();
}

// No barrier: a round is of one contribution, so there are more of them.
void DrawWithoutBarrier(Random* random, bool elastic, Scenario* scenario) {
  RoundRules* rules = scenario->manifest.mutable_rounds();
  ConsensusScheme* scheme = scenario->manifest.mutable_consensus();
  scheme->set_asynchrony(elastic ? "elastic" : "delayed");
  CombineByMean(scheme);
  LeaveEvaluationOut(rules);
  rules->clear_norm_factor_max();
  rules->clear_inner_steps_min();
  TakeLate(random, rules);
  if (rules->round_count() < 100) {
    const auto sites = static_cast<uint32_t>(scenario->site_count);
    rules->set_round_count(sites < 60 ? rules->round_count() * std::min(sites, 6u) : sites / 2);
  }
  static constexpr double kDiscounts[] = {0, 0.5, 1};
  rules->set_late_discount(elastic ? 0 : kDiscounts[random->Below(3)]);
  if (!elastic) return;
  scheme->set_alpha(random->Chance(0.5) ? 0.5 : 0.3);
  SetPlainSgd(scheme->alpha(), scheme);
}

void DrawDual(Random* random, Scenario* scenario) {
  ConsensusScheme* scheme = scenario->manifest.mutable_consensus();
  scheme->set_preset("admm");
  scheme->set_dual(true);
  scheme->set_alpha(0);
  SetPlainSgd(1.0, scheme);
  CombineByMean(scheme);
  LeaveEvaluationOut(scenario->manifest.mutable_rounds());
  RefuseLate(scenario->manifest.mutable_rounds());
  if (random->Chance(0.5)) {
    scheme->clear_pull();
    scheme->set_rho(0.1);
    scheme->set_adapt_rho(true);
  }
}

void DrawFragments(Random* random, Scenario* scenario) {
  RoundRules* rules = scenario->manifest.mutable_rounds();
  ConsensusScheme* scheme = scenario->manifest.mutable_consensus();
  const auto count = static_cast<uint32_t>(random->Between(2, 3));
  scheme->set_fragments(count);
  scenario->elements =
      kFragmentGrain * (count - 1) + static_cast<uint64_t>(random->Between(1, kFragmentGrain));
  scenario->block_elements = kFragmentGrain;
  rules->set_round_count(std::max(rules->round_count(), count));
  scheme->set_fragment_delay_steps(static_cast<uint32_t>(random->Below(rules->inner_steps())));
  LeaveEvaluationOut(rules);
  RefuseLate(rules);
  rules->clear_inner_steps_min();
}

// Draws of its own, as the scheme.
void DrawQualityFloor(uint64_t seed, ConsensusScheme* scheme) {
  Random random(Mix(seed) ^ 0x666c6f6f72);
  if (!random.Chance(0.2)) return;
  scheme->mutable_influence()->set_validation_samples(1);
  scheme->mutable_influence()->set_validation_rise_max(0.1);
}

// Rounds with a barrier, of the whole vector or of a fragment.
void DrawInfluence(Random* random, Scenario* scenario) {
  RoundRules* rules = scenario->manifest.mutable_rounds();
  ConsensusScheme* scheme = scenario->manifest.mutable_consensus();
  if (scheme->combine() == "mean" && rules->quorum() >= 3 && random->Chance(0.15)) {
    scheme->set_combine("norm_clipped_mean");
    scheme->set_clip_factor(random->Chance(0.5) ? 1.0 : 0.9);
  } else if (rules->quorum() >= 5 && rules->late() != "carry" && random->Chance(0.3)) {
    scheme->set_combine("krum");
    scheme->set_faulty_max((rules->quorum() - 3) / 2);
  }
  const bool weighs = scheme->combine() == "mean" || scheme->combine() == "norm_clipped_mean";
  Influence* influence = scheme->mutable_influence();
  if (weighs && random->Chance(0.2)) influence->set_weights("tokens");
  if (weighs && random->Chance(0.2)) influence->set_influence_max(random->Chance(0.5) ? 0.3 : 0.5);
  if (scheme->fragments() > 1) return;
  if (random->Chance(0.15)) {
    scheme->set_mix_with("previous");
    scheme->set_alpha(0.5);
  }
  if (rules->inner_steps_min() > 0 || random->Chance(0.85)) return;
  for (const uint32_t steps : {30u, 10u}) {
    InnerStepsPhase* phase = rules->add_inner_steps_schedule();
    phase->set_rounds(static_cast<uint32_t>(random->Between(1, 3)));
    phase->set_inner_steps(steps);
  }
}

VectorFormat DrawFormat(Random* random, VectorFormat plain, RunManifest* manifest) {
  static constexpr const char* kNames[] = {"delta_int8", "delta_int4", "topk_int4"};
  if (random->Chance(0.5)) return plain;
  return *FormatFromName(kNames[random->Below(3)], manifest->encodings().topk_density());
}

void DrawEncodings(Random* random, Scenario* scenario) {
  Encodings* encodings = scenario->manifest.mutable_encodings();
  // So few that something stays behind in vectors as small as these.
  encodings->set_topk_density(static_cast<double>(random->Between(1, 3)) / 256);
  scenario->up = DrawFormat(random, scenario->up, &scenario->manifest);
  scenario->down = DrawFormat(random, scenario->down, &scenario->manifest);
  encodings->set_up(std::string(EncodingName(scenario->up)));
  encodings->set_down(std::string(EncodingName(scenario->down)));
  if (BlockSize(scenario->up) == 1 && BlockSize(scenario->down) == 1) return;
  scenario->block_elements = kFragmentGrain;
  if (scenario->fragments() == 1 && random->Chance(0.2)) {
    scenario->elements = static_cast<uint64_t>(random->Between(60, 600));
  }
}

}  // namespace

void DrawConsensusScheme(Scenario* scenario) {
  Random random(Mix(scenario->seed) ^ 0x736368656d65);
  ConsensusScheme* scheme = scenario->manifest.mutable_consensus();
  scheme->set_preset("proximal");
  scheme->set_pull(0.5);
  scheme->set_alpha(random.Chance(0.7) ? 1.0 : 0.5);
  const double kind = random.Unit();
  if (kind < 0.3) {
    DrawWithoutBarrier(&random, /*elastic=*/kind < 0.15, scenario);
  } else if (kind < 0.4) {
    DrawDual(&random, scenario);
  } else {
    if (kind < 0.55) DrawFragments(&random, scenario);
    DrawInfluence(&random, scenario);
    DrawQualityFloor(scenario->seed, scheme);
  }
  DrawEncodings(&random, scenario);
  Problems problems;
  CheckConsensus(scenario->manifest, &problems);
  const absl::Status status = problems.ToStatus("a simulated manifest");
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  WEFT_CHECK(status.ok());
}

}  // namespace weft::simulation
