// The consensus schemes that have a name, with the values of those who described them.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "ops/manifest.h"

namespace weft {
namespace {

struct Preset {
  absl::string_view name;
  void (*fill)(RunManifest*);
};

ConsensusScheme* Scheme(RunManifest* run) { return run->mutable_consensus(); }
void SetOuter(RunManifest* run, double learning_rate, double momentum) {
  OuterOptimizer* outer = Scheme(run)->mutable_outer();
  outer->set_learning_rate(learning_rate);
  outer->set_momentum(momentum);
  outer->set_nesterov(momentum > 0);
}

double SiteCount(const RunManifest& run) { return std::max(run.rounds().sites_to_start(), 1u); }

// Without a barrier sites are as many versions behind as others have been faster.
void TakeLate(RunManifest* run, double discount) {
  constexpr uint32_t kStalenessMax = 64;
  RoundRules* rounds = run->mutable_rounds();
  rounds->set_late("carry");
  if (rounds->late_staleness_max() == 0) {
    rounds->set_late_staleness_max(
        std::min(kStalenessMax, std::max(2 * rounds->sites_to_start(), 2u)));
  }
  rounds->set_late_discount(discount);
}

// beta of EASGD (Zhang et al. 2015, section 2): alpha = beta / K, so that both sides together move
// by nothing.
constexpr double kElasticBeta = 0.9;

constexpr Preset kPresets[] = {
    {"fedavg", [](RunManifest*) {}},                                    // McMahan 2017
    {"fedprox", [](RunManifest* run) { Scheme(run)->set_pull(0.2); }},  // Li 2020
    {"elastic",
     [](RunManifest* run) {
       Scheme(run)->set_mix_with("previous");
       Scheme(run)->set_alpha(kElasticBeta / SiteCount(*run));
       SetOuter(run, kElasticBeta, 0);
     }},
    {"elastic_async",
     [](RunManifest* run) {
       Scheme(run)->set_asynchrony("elastic");
       Scheme(run)->set_alpha(kElasticBeta / SiteCount(*run));
       SetOuter(run, Scheme(run)->alpha(), 0);
       TakeLate(run, 0);
     }},
    // FedAsync (Xie 2019), polynomial discount 1/sqrt(1 + staleness). K sites that are as fast are
    // K - 1 versions late, so that with 1/sqrt(K) their K contributions move the consensus as far
    // as the mean of them would.
    {"delayed",
     [](RunManifest* run) {
       Scheme(run)->set_asynchrony("delayed");
       SetOuter(run, 1 / std::sqrt(SiteCount(*run)), 0);
       TakeLate(run, 0.5);
     }},
    {"diloco", [](RunManifest* run) { SetOuter(run, 0.7, 0.9); }},  // Douillard 2023
    {"fedadam",  // Reddi 2021; its outer learning rate of 0.1 diverges on transformers
     [](RunManifest* run) {
       SetOuter(run, 0.003, 0.9);
       OuterOptimizer* outer = Scheme(run)->mutable_outer();
       outer->set_name("adam");
       outer->set_nesterov(false);
       outer->set_beta2(0.99);
       outer->set_tau(1e-3);
     }},
    {"admm",  // Boyd 2011, section 7
     [](RunManifest* run) {
       Scheme(run)->set_dual(true);
       Scheme(run)->set_pull(0.5);
       Scheme(run)->set_alpha(0);
     }},
    {"proximal",  // coordinator/COMPARISON.md says why
     [](RunManifest* run) {
       Scheme(run)->set_pull(0.5);
       SetOuter(run, 1.5, 0);
     }},
};

}  // namespace

absl::Status ApplyPreset(absl::string_view preset, RunManifest* run) {
  std::string known;
  for (const Preset& entry : kPresets) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", entry.name);
    if (entry.name != preset) continue;
    ConsensusScheme* scheme = run->mutable_consensus();
    scheme->Clear();
    scheme->set_preset(std::string(preset));
    scheme->set_alpha(1);
    scheme->set_combine("mean");
    scheme->mutable_outer()->set_name("sgd");
    SetOuter(run, 1.0, 0);
    entry.fill(run);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no preset '", preset, "'; there are: ", known));
}

}  // namespace weft
