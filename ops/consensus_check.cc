// Which consensus schemes a manifest may describe: the values, and what goes together. Everything
// that is refused says why.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "model/formats/huggingface.h"
#include "model/parameters/fragment_range.h"
#include "ops/manifest.h"
#include "ops/manifest_problems.h"
#include "proto/round_schedule.h"

namespace weft {
namespace {

constexpr uint32_t kFragmentsMax = 1024;
constexpr uint32_t kValidationSamplesMax = 100'000;

bool Pulls(const ConsensusScheme& scheme) { return scheme.rho() > 0 || scheme.pull() > 0; }
bool HasOuterSgd(const ConsensusScheme& scheme) { return scheme.outer().name() == "sgd"; }
bool HasBarrier(const ConsensusScheme& scheme) { return !IsAsynchronous(scheme) && !scheme.dual(); }
// The consensus becomes the combination, and a site takes it whole.
bool IsPlain(const ConsensusScheme& scheme) {
  return HasBarrier(scheme) && HasOuterSgd(scheme) && scheme.outer().learning_rate() == 1.0 &&
         scheme.outer().momentum() == 0 && scheme.alpha() == 1;
}

// A preset is a name that operators know: values that contradict it would mislead whoever accepts
// them. What the name says nothing about is free.
struct PresetRule {
  absl::string_view name;
  bool (*keeps)(const ConsensusScheme&);
  absl::string_view means;
};
constexpr PresetRule kPresetRules[] = {
    {"fedavg", [](const ConsensusScheme& s) { return IsPlain(s) && !Pulls(s); },
     "a barrier, outer sgd 1.0 without momentum, alpha 1 and no pull (with one, it is fedprox)"},
    {"fedprox", [](const ConsensusScheme& s) { return IsPlain(s) && Pulls(s); },
     "a barrier, rho or pull (without it, it is fedavg), outer sgd 1.0 without momentum and alpha "
     "1"},
    {"elastic",
     [](const ConsensusScheme& s) {
       return HasBarrier(s) && s.mix_with() == "previous" && HasOuterSgd(s) &&
              s.outer().momentum() == 0;
     },
     "a barrier, mix_with previous and outer sgd without momentum"},
    {"elastic_async", [](const ConsensusScheme& s) { return s.asynchrony() == "elastic"; },
     "asynchrony elastic"},
    {"delayed", [](const ConsensusScheme& s) { return s.asynchrony() == "delayed"; },
     "asynchrony delayed"},
    {"diloco",
     [](const ConsensusScheme& s) {
       return HasBarrier(s) && !Pulls(s) && HasOuterSgd(s) && s.outer().momentum() > 0 &&
              s.outer().nesterov();
     },
     "a barrier, outer sgd with Nesterov momentum and no pull (with one, name it proximal)"},
    {"fedadam", [](const ConsensusScheme& s) { return s.outer().name() == "adam"; }, "outer adam"},
    {"admm", [](const ConsensusScheme& s) { return s.dual(); }, "dual"},
    {"proximal", [](const ConsensusScheme& s) { return Pulls(s) && !s.dual(); },
     "rho or pull, and no dual (with one, it is admm)"},
};

void CheckPreset(const ConsensusScheme& scheme, Problems* problems) {
  std::string known;
  for (const PresetRule& rule : kPresetRules) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", rule.name);
    if (rule.name != scheme.preset()) continue;
    if (!rule.keeps(scheme)) {
      problems->Add(absl::StrCat("consensus.preset '", rule.name, "' means ", rule.means));
    }
    return;
  }
  problems->Unless(false, "consensus.preset", Quoted(scheme.preset()), known);
}

void CheckPull(const ConsensusScheme& scheme, Problems* problems) {
  if (scheme.rho() != 0 && scheme.pull() != 0) {
    problems->Add(
        "consensus.rho and consensus.pull are two forms of the same thing: give one of them");
  }
  problems->Unless(Within(scheme.rho(), 0, 1e6), "consensus.rho", scheme.rho(), "0 to 1e6");
  problems->Unless(Within(scheme.pull(), 0, 0.999), "consensus.pull", scheme.pull(), "0 to 0.999");
  problems->Unless(IsOneOf(scheme.pull_form(), {"", "prox", "gradient"}), "consensus.pull_form",
                   Quoted(scheme.pull_form()), "prox, gradient");
  if (scheme.pull_form() == "gradient" && !Pulls(scheme)) {
    problems->Add("consensus.pull_form gradient needs rho or pull");
  }
}

void CheckMixing(const ConsensusScheme& scheme, Problems* problems) {
  const bool keeps_own = scheme.dual() && scheme.alpha() == 0;
  problems->Unless(keeps_own || (scheme.alpha() > 0 && scheme.alpha() <= 1), "consensus.alpha",
                   scheme.alpha(), "above 0, at most 1; 0 with dual");
  problems->Unless(IsOneOf(scheme.mix_with(), {"", "new", "previous"}), "consensus.mix_with",
                   Quoted(scheme.mix_with()), "new, previous");
  if (scheme.mix_with() == "previous" && scheme.alpha() == 1) {
    problems->Add(
        "consensus.alpha 1 with mix_with previous would undo every round: give less than 1");
  }
}

void CheckOuter(const OuterOptimizer& outer, Problems* problems) {
  const bool adam = outer.name() == "adam";
  problems->Unless(IsOneOf(outer.name(), {"sgd", "adam"}), "consensus.outer.name",
                   Quoted(outer.name()), "sgd, adam");
  problems->Unless(outer.learning_rate() > 0 && outer.learning_rate() <= 2,
                   "consensus.outer.learning_rate", outer.learning_rate(), "above 0, at most 2");
  problems->Unless(Within(outer.momentum(), 0, 0.999), "consensus.outer.momentum", outer.momentum(),
                   "0 to 0.999");
  if (outer.nesterov() && (outer.momentum() == 0 || adam)) {
    problems->Add("consensus.outer.nesterov needs sgd with a momentum above 0");
  }
  if (adam) {
    problems->Unless(Within(outer.beta2(), 0, 0.99999), "consensus.outer.beta2", outer.beta2(),
                     "0 to 0.99999");
    problems->Unless(Within(outer.tau(), 1e-9, 1), "consensus.outer.tau", outer.tau(), "1e-9 to 1");
  } else if (outer.beta2() != 0 || outer.tau() != 0) {
    problems->Add("consensus.outer.beta2 and tau belong to adam");
  }
}

// The fewest contributions that a rule can look at: coordinator/core holds the same bounds.
uint64_t FewestFor(const ConsensusScheme& scheme) {
  const uint64_t faulty = scheme.faulty_max();
  if (scheme.combine() == "trimmed_mean") return 2 * faulty + 1;
  if (scheme.combine() == "krum") return 2 * faulty + 3;
  return scheme.combine() == "mean" ? 1 : 3;
}

void CheckCombination(const RunManifest& run, Problems* problems) {
  const ConsensusScheme& scheme = run.consensus();
  const std::string& combine = scheme.combine();
  problems->Unless(IsOneOf(combine, {"mean", "norm_clipped_mean", "trimmed_mean", "median", "krum",
                                     "geometric_median"}),
                   "consensus.combine", Quoted(combine),
                   "mean, norm_clipped_mean, trimmed_mean, median, krum, geometric_median");
  const bool counts_faulty = IsOneOf(combine, {"trimmed_mean", "krum"});
  problems->Unless(counts_faulty ? scheme.faulty_max() >= 1 : scheme.faulty_max() == 0,
                   "consensus.faulty_max", scheme.faulty_max(),
                   "1 or more with trimmed_mean and krum, else 0");
  const bool clips = combine == "norm_clipped_mean";
  problems->Unless(clips ? Within(scheme.clip_factor(), 0.1, 1e6) : scheme.clip_factor() == 0,
                   "consensus.clip_factor", scheme.clip_factor(),
                   "0.1 to 1e6 with norm_clipped_mean, else 0");
  if (run.rounds().quorum() < FewestFor(scheme)) {
    problems->Add(
        absl::StrCat("consensus.combine ", combine,
                     counts_faulty ? absl::StrCat(" with faulty_max ", scheme.faulty_max()) : "",
                     " needs ", FewestFor(scheme),
                     " contributions in every round: rounds.quorum is ", run.rounds().quorum()));
  }
  const Influence& influence = scheme.influence();
  const bool weighs = IsOneOf(combine, {"mean", "norm_clipped_mean"});
  if (!weighs && (influence.weights() == "tokens" || influence.influence_max() > 0)) {
    problems->Add(absl::StrCat("consensus.combine ", combine,
                               " looks at every contribution alike: leave influence.weights tokens "
                               "and influence_max out"));
  }
  if (!weighs && run.rounds().late() == "carry") {
    problems->Add(
        absl::StrCat("consensus.combine ", combine,
                     " does not go with rounds.late carry: a late contribution would be a "
                     "second one of its site, and count as much as any"));
  }
}

void CheckInfluence(const Influence& influence, Problems* problems) {
  problems->Unless(IsOneOf(influence.weights(), {"", "equal", "tokens"}),
                   "consensus.influence.weights", Quoted(influence.weights()), "equal, tokens");
  problems->Unless(Within(influence.influence_max(), 0, 1), "consensus.influence.influence_max",
                   influence.influence_max(), "0 (no cap) to 1");
  problems->Unless(Within(influence.validation_rise_max(), 0, 100),
                   "consensus.influence.validation_rise_max", influence.validation_rise_max(),
                   "0 (no floor) to 100 nats per token");
  problems->Unless(influence.validation_samples() <= kValidationSamplesMax,
                   "consensus.influence.validation_samples", influence.validation_samples(),
                   absl::StrCat("0 to ", kValidationSamplesMax));
  if (influence.validation_rise_max() > 0 && influence.validation_samples() == 0) {
    problems->Add("consensus.influence.validation_rise_max needs validation_samples");
  }
}

// A combination that is refused: what is set beside what excludes it.
struct Exclusion {
  absl::string_view what;
  bool is_set;
};
void Exclude(absl::string_view by, absl::string_view why, std::initializer_list<Exclusion> excluded,
             Problems* problems) {
  for (const Exclusion& e : excluded) {
    if (e.is_set) problems->Add(absl::StrCat(e.what, " does not go with ", by, ": ", why));
  }
}

void CheckWithoutBarrier(const RunManifest& run, Problems* problems) {
  const ConsensusScheme& scheme = run.consensus();
  const RoundRules& rounds = run.rounds();
  problems->Unless(IsOneOf(scheme.asynchrony(), {"", "delayed", "elastic"}), "consensus.asynchrony",
                   Quoted(scheme.asynchrony()), "delayed, elastic; left out: a barrier");
  if (!IsAsynchronous(scheme)) return;
  if (rounds.late() != "carry") {
    problems->Add(
        "consensus.asynchrony needs rounds.late carry: late_staleness_max bounds how old a base "
        "may be");
  }
  if (std::max(rounds.late_staleness_max(), 1u) + 1 < rounds.sites_to_start()) {
    problems->Add(absl::StrCat(
        "rounds.late_staleness_max ", rounds.late_staleness_max(), ": while a site trains, ",
        rounds.sites_to_start(), " sites that are as fast make ", rounds.sites_to_start() - 1,
        " versions, and its work would be refused; give twice as much, for slower ones"));
  }
  Exclude("consensus.asynchrony", "a round is of one contribution",
          {{"consensus.combine other than mean", scheme.combine() != "mean"},
           {"consensus.influence.weights tokens", scheme.influence().weights() == "tokens"},
           {"consensus.influence.influence_max", scheme.influence().influence_max() > 0},
           {"consensus.influence.normalize_steps", scheme.influence().normalize_steps()},
           {"rounds.norm_factor_max", rounds.norm_factor_max() > 0},
           {"rounds.evaluation_seconds_max", rounds.evaluation_seconds_max() > 0},
           {"consensus.dual", scheme.dual()}},
          problems);
  Exclude("consensus.asynchrony", "sites are at different places of their work",
          {{"consensus.mix_with previous", scheme.mix_with() == "previous"},
           {"consensus.fragments", FragmentCount(scheme) > 1},
           {"rounds.inner_steps_schedule", rounds.inner_steps_schedule_size() > 0},
           {"rounds.inner_steps_min", rounds.inner_steps_min() > 0}},
          problems);
  if (scheme.asynchrony() != "elastic") return;
  if (scheme.alpha() == 1) {
    problems->Add(
        "consensus.alpha 1 with asynchrony elastic would only change site and consensus over: give "
        "less than 1");
  }
  const bool same = HasOuterSgd(scheme) && scheme.outer().momentum() == 0 &&
                    scheme.outer().learning_rate() == scheme.alpha();
  if (!same) {
    problems->Add(
        "consensus.asynchrony elastic moves both sides by the same difference: outer sgd without "
        "momentum, and its learning_rate equal to alpha");
  }
  if (rounds.late_discount() != 0) {
    problems->Add(
        "rounds.late_discount must be 0 with consensus.asynchrony elastic: a vector "
        "counts as what it is");
  }
}

void CheckDual(const RunManifest& run, Problems* problems) {
  const ConsensusScheme& scheme = run.consensus();
  if (scheme.adapt_rho() && (!scheme.dual() || scheme.rho() == 0)) {
    problems->Add("consensus.adapt_rho needs dual, and rho (not pull) to begin with");
  }
  if (!scheme.dual()) return;
  if (!Pulls(scheme)) problems->Add("consensus.dual needs rho or pull");
  const bool sums = HasOuterSgd(scheme) && scheme.outer().learning_rate() == 1.0 &&
                    scheme.outer().momentum() == 0 && scheme.alpha() == 0;
  if (!sums) {
    problems->Add(
        "consensus.dual: the consensus is the mean of what the sites sent, and a site keeps its "
        "own vector: outer sgd 1.0 without momentum, and alpha 0");
  }
  Exclude("consensus.dual",
          "every site's part in the consensus is fixed, and stays while it is away",
          {{"consensus.combine other than mean", scheme.combine() != "mean"},
           {"consensus.influence.weights tokens", scheme.influence().weights() == "tokens"},
           {"consensus.influence.influence_max", scheme.influence().influence_max() > 0},
           {"consensus.influence.normalize_steps", scheme.influence().normalize_steps()},
           {"rounds.late carry", run.rounds().late() == "carry"},
           {"rounds.evaluation_seconds_max", run.rounds().evaluation_seconds_max() > 0},
           {"consensus.mix_with previous", scheme.mix_with() == "previous"},
           {"consensus.pull_form gradient", scheme.pull_form() == "gradient"},
           {"rounds.inner_steps_schedule with pull (give rho)",
            scheme.pull() > 0 && run.rounds().inner_steps_schedule_size() > 0},
           {"consensus.fragments", FragmentCount(scheme) > 1}},
          problems);
}

void CheckFragments(const RunManifest& run, Problems* problems) {
  const ConsensusScheme& scheme = run.consensus();
  const uint32_t count = FragmentCount(scheme);
  if (count == 1) {
    problems->Unless(scheme.fragment_delay_steps() == 0, "consensus.fragment_delay_steps",
                     scheme.fragment_delay_steps(), "0 where the vector travels whole");
    return;
  }
  const absl::StatusOr<ParameterLayout> layout = TransformerLayout(run.model());
  const uint64_t most = layout.ok() ? FragmentsMax(layout->element_count()) : kFragmentsMax;
  problems->Unless(count <= most && count <= kFragmentsMax, "consensus.fragments", count,
                   absl::StrCat("at most ", std::min<uint64_t>(most, kFragmentsMax)));
  problems->Unless(run.rounds().round_count() >= count, "rounds.round_count",
                   run.rounds().round_count(),
                   absl::StrCat("as many as there are fragments, ", count, ", or more"));
  problems->Unless(scheme.fragment_delay_steps() < run.rounds().inner_steps(),
                   "consensus.fragment_delay_steps", scheme.fragment_delay_steps(),
                   absl::StrCat("less than inner_steps, ", run.rounds().inner_steps(),
                                ": the next fragment is cut then"));
  Exclude("consensus.fragments", "what is judged, carried or cut short is a whole vector",
          {{"rounds.evaluation_seconds_max", run.rounds().evaluation_seconds_max() > 0},
           {"rounds.late carry", run.rounds().late() == "carry"},
           {"rounds.inner_steps_min", run.rounds().inner_steps_min() > 0},
           {"rounds.inner_steps_schedule", run.rounds().inner_steps_schedule_size() > 0},
           {"consensus.mix_with previous", scheme.mix_with() == "previous"}},
          problems);
}

}  // namespace

void CheckConsensus(const RunManifest& run, Problems* problems) {
  const ConsensusScheme& scheme = run.consensus();
  CheckPreset(scheme, problems);
  CheckPull(scheme, problems);
  CheckMixing(scheme, problems);
  CheckOuter(scheme.outer(), problems);
  CheckCombination(run, problems);
  CheckInfluence(scheme.influence(), problems);
  CheckWithoutBarrier(run, problems);
  CheckDual(run, problems);
  CheckFragments(run, problems);
  if (run.rounds().inner_steps_schedule_size() > 0 && run.rounds().inner_steps_min() > 0) {
    problems->Add(
        "rounds.inner_steps_min does not go with inner_steps_schedule: rounds differ in length");
  }
}

}  // namespace weft
