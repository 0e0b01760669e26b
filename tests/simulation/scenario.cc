#include "tests/simulation/scenario.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "tests/simulation/random.h"

namespace weft::simulation {
namespace {

constexpr uint32_t kBatchMax = 4;  // tokens of a step, of the site with the largest batch

void DrawSize(Random* random, Scenario* scenario, RoundRules* rules) {
  const uint64_t kind = random->Below(100);
  scenario->site_count = static_cast<int>(random->Between(2, 6));
  rules->set_round_count(static_cast<uint32_t>(random->Between(2, 8)));
  if (kind < 2) {
    scenario->site_count = static_cast<int>(random->Between(60, 200));
    rules->set_round_count(2);
  } else if (kind < 4) {
    scenario->site_count = static_cast<int>(random->Between(2, 3));
    rules->set_round_count(static_cast<uint32_t>(random->Between(100, 300)));
  } else if (kind < 14) {
    scenario->site_count = static_cast<int>(random->Between(7, 24));
  }
}

void DrawRules(Random* random, const Scenario& scenario, RoundRules* rules) {
  const int honest = scenario.site_count - scenario.hostile_count;
  const int safe = std::max(1, honest - scenario.gone_count_max);
  rules->set_quorum(static_cast<uint32_t>(random->Between(1, safe)));
  rules->set_sites_to_start(static_cast<uint32_t>(random->Between(rules->quorum(), safe)));
  rules->set_round_seconds_max(static_cast<uint32_t>(random->Between(15, 60)));
  rules->set_inner_steps(static_cast<uint32_t>(random->Between(1, 50)));
  rules->set_publish_every(static_cast<uint32_t>(random->Below(4)));
  rules->set_update_norm_max(10);
}

// What a run may choose beyond the plain protocol.
void DrawPolicies(Random* random, RoundRules* rules) {
  if (random->Chance(0.3)) rules->set_without_quorum("abandon");
  if (random->Chance(0.3)) rules->set_extensions_max(static_cast<uint32_t>(random->Between(1, 2)));
  if (random->Chance(0.2)) rules->set_norm_factor_max(3);
  if (random->Chance(0.4)) {
    rules->set_late("carry");
    rules->set_late_staleness_max(static_cast<uint32_t>(random->Below(4)));
    rules->set_late_discount(random->Chance(0.5) ? 0.5 : 0);
  }
  if (random->Chance(0.4)) rules->set_inner_steps_min(1 + rules->inner_steps() / 2);
  if (random->Chance(0.25)) {
    rules->set_evaluation_seconds_max(static_cast<uint32_t>(random->Between(5, 20)));
    if (random->Chance(0.5)) rules->set_evaluation_missing("accept");
  }
}

void DrawScheme(Random* random, ConsensusScheme* scheme) {
  scheme->set_combine("mean");
  OuterOptimizer* outer = scheme->mutable_outer();
  outer->set_name("sgd");
  static constexpr double kRates[] = {1.0, 0.7, 0.9};
  outer->set_learning_rate(kRates[random->Below(3)]);
  if (random->Chance(0.5)) {
    outer->set_momentum(0.9);
    outer->set_nesterov(random->Chance(0.5));
  }
}

// Draws of their own: what was drawn before them stays what it was.
void DrawCombination(uint64_t seed, RunManifest* manifest) {
  Random random(Mix(seed) ^ 0x636f6d62696e65);
  ConsensusScheme* scheme = manifest->mutable_consensus();
  const RoundRules& rules = manifest->rounds();
  scheme->mutable_influence()->set_normalize_steps(random.Chance(0.2));
  if (random.Chance(0.15)) {
    OuterOptimizer* outer = scheme->mutable_outer();
    outer->set_name("adam");
    outer->set_learning_rate(0.01);
    outer->set_momentum(0.9);
    outer->clear_nesterov();
    outer->set_beta2(0.99);
    outer->set_tau(1e-3);
  }
  if (rules.quorum() < 3 || rules.late() == "carry" || random.Chance(0.5)) return;
  scheme->set_combine(random.Chance(0.5) ? "median" : "trimmed_mean");
  if (scheme->combine() == "trimmed_mean") scheme->set_faulty_max((rules.quorum() - 1) / 2);
}

// A quarter of the federations see hardly a fault: what goes wrong there is the machines' own.
void DrawFaults(Random* random, Scenario* scenario) {
  const double much = random->Chance(0.25) ? 0.1 : random->Unit() * 2;
  const auto set = [&](Fault fault, double rate) {
    scenario->rates[static_cast<size_t>(fault)] = rate * much;
  };
  set(Fault::kMessageLost, 0.05);
  set(Fault::kMessageDelayed, 0.05);
  set(Fault::kMessageDoubled, 0.05);
  set(Fault::kStreamBroken, 0.01);
  set(Fault::kCrashInStep, 0.001);
  set(Fault::kDiskError, 0.002);
  set(Fault::kUnusableVector, 0.01);
  set(Fault::kSlowTraining, 0.05);
  set(Fault::kNoEvaluation, 0.1);
  set(Fault::kConsensusRefused, 0.1);
  // Weights among the kinds of trouble that come between two steps.
  set(Fault::kPartition, 1);
  set(Fault::kClockJump, 1);
  set(Fault::kCoordinatorCrash, 2);
  set(Fault::kGateCrash, 1.5);
  set(Fault::kWorkerCrash, 1);
  set(Fault::kFileCorrupted, 1);
  set(Fault::kSiteGone, 0.3);
  set(Fault::kRevoked, 0.2);
  set(Fault::kTakeOver, 0.3);
  set(Fault::kPaused, 0.3);
  scenario->trouble_every_ms = static_cast<int64_t>(4000 / std::max(0.05, much));
}

}  // namespace

std::string SiteName(int site) { return absl::StrFormat("site-%03d", site); }

Scenario DrawScenario(uint64_t seed) {
  Random random(Mix(seed + 1));
  Scenario scenario;
  scenario.seed = seed;
  RunManifest& manifest = scenario.manifest;
  DrawSize(&random, &scenario, manifest.mutable_rounds());
  if (random.Chance(0.3)) scenario.hostile_count = 1 + static_cast<int>(random.Below(2));
  scenario.hostile_count = std::min(scenario.hostile_count, scenario.site_count - 1);
  const int honest = scenario.site_count - scenario.hostile_count;
  if (random.Chance(0.4)) scenario.gone_count_max = static_cast<int>(random.Below(honest));
  DrawRules(&random, scenario, manifest.mutable_rounds());
  DrawPolicies(&random, manifest.mutable_rounds());
  DrawScheme(&random, manifest.mutable_consensus());
  DrawCombination(seed, &manifest);
  DrawFaults(&random, &scenario);
  manifest.set_protocol_version(1);
  manifest.set_run_id("simulated");
  manifest.set_seed(seed);
  manifest.mutable_training()->set_batch_size(kBatchMax);
  manifest.mutable_training()->set_sequence_length(1);
  scenario.up = random.Chance(0.5) ? Encoding::kDeltaBf16 : Encoding::kParametersFp32;
  scenario.down = random.Chance(0.5) ? Encoding::kDeltaBf16 : Encoding::kParametersFp32;
  scenario.elements = static_cast<uint64_t>(random.Between(1, 9));
  scenario.block_elements = static_cast<uint64_t>(random.Between(1, 4));
  scenario.training_ms_max = random.Between(500, 6000);
  scenario.network_ms_max = random.Between(5, 300);
  scenario.faults_end_ms = random.Between(20'000, 150'000);

  Membership& membership = scenario.membership;
  membership.set_protocol_version(1);
  membership.set_run_id(manifest.run_id());
  membership.set_version(1);
  const bool weighted = random.Chance(0.5);
  for (int site = 0; site < scenario.site_count; ++site) {
    MemberSite* member = membership.add_sites();
    member->set_name(SiteName(site));
    if (weighted) member->set_weight(0.5 + random.Unit());
  }
  DrawConsensusScheme(&scenario);
  return scenario;
}

}  // namespace weft::simulation
