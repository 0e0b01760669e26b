#include "ops/manifest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/formats/huggingface.h"
#include "model/parameters/fragment_range.h"
#include "model/parameters/parameter_codec.h"
#include "ops/signed_file.h"
#include "proto/round_schedule.h"
#include "proto/signed_statement.h"
#include "proto/text_file.h"

namespace weft {
namespace {

// 1234567 as "1,234,567".
std::string Grouped(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), 1, ',');
  return digits;
}

std::string Row(absl::string_view name, absl::string_view words) {
  return absl::StrFormat("  %-12s %s\n", name, words);
}

std::string PullWords(const ConsensusScheme& scheme) {
  const char* form = scheme.pull_form() == "gradient" ? " (added to the gradient)" : "";
  if (scheme.pull() > 0) {
    return absl::StrFormat(
        "a round pulls a site's vector %.3g %% of the way back to the consensus%s",
        100 * scheme.pull(), form);
  }
  if (scheme.rho() > 0) {
    return absl::StrFormat("a pull towards the consensus, rho %g%s%s", scheme.rho(),
                           scheme.adapt_rho() ? ", which follows the residuals" : "", form);
  }
  return "no pull towards the consensus";
}

std::string OuterWords(const OuterOptimizer& outer) {
  std::string words =
      absl::StrFormat("outer step %s, learning rate %g", outer.name(), outer.learning_rate());
  if (outer.name() == "adam") {
    absl::StrAppendFormat(&words, ", beta1 %g, beta2 %g, tau %g", outer.momentum(), outer.beta2(),
                          outer.tau());
  } else if (outer.momentum() > 0) {
    absl::StrAppendFormat(&words, ", %smomentum %g", outer.nesterov() ? "Nesterov " : "",
                          outer.momentum());
  }
  return words;
}

std::string MixWords(const ConsensusScheme& scheme) {
  if (scheme.dual()) return "a site keeps its own vector, and a dual beside it";
  const char* which =
      scheme.mix_with() == "previous" ? "consensus that it began with" : "new consensus";
  if (scheme.alpha() == 1) return absl::StrCat("a site takes the ", which, " whole");
  return absl::StrFormat("a site takes %.3g %% of the %s", 100 * scheme.alpha(), which);
}

std::string CombineWords(const ConsensusScheme& scheme) {
  std::string words = scheme.combine();
  std::replace(words.begin(), words.end(), '_', ' ');
  if (scheme.faulty_max() > 0) {
    absl::StrAppend(&words, " (", scheme.faulty_max(), " of them may be wrong)");
  }
  if (scheme.clip_factor() > 0) {
    absl::StrAppendFormat(&words, " (none above %g times the median norm)", scheme.clip_factor());
  }
  return absl::StrCat("the ", words, " of the sites' vectors");
}

// When contributions are combined, and which part of the vector travels.
std::string ExchangeWords(const ConsensusScheme& scheme) {
  if (scheme.asynchrony() == "delayed") {
    return "no barrier: each contribution makes a consensus of its own, as its change since its "
           "base";
  }
  if (scheme.asynchrony() == "elastic") {
    return "no barrier: each vector meets the consensus on its own, and both move by the same "
           "difference";
  }
  if (FragmentCount(scheme) == 1) return "a round waits for everybody, and whole vectors travel";
  return absl::StrFormat(
      "a round waits for everybody; the vector travels in %u parts in turn, and a site trains %u "
      "steps on before it takes one",
      scheme.fragments(), scheme.fragment_delay_steps());
}

std::string InfluenceWords(const Influence& influence) {
  std::string words = influence.weights() == "tokens" ? "a site counts by the tokens it trained on"
                                                      : "a site counts as the membership says";
  if (influence.influence_max() > 0) {
    absl::StrAppendFormat(&words, ", at most %.3g %% (or an equal part)",
                          100 * influence.influence_max());
  }
  if (influence.normalize_steps()) absl::StrAppend(&words, ", per step that it did");
  if (influence.validation_rise_max() > 0) {
    absl::StrAppendFormat(
        &words, ", and not in a round in which its own held-out loss rose by more than %g",
        influence.validation_rise_max());
  }
  return words;
}

std::string ModelWords(const RunManifest& run, uint64_t parameter_count) {
  const ModelConfig& model = run.model();
  return absl::StrFormat(
      "%s form, %s parameters: %u layers of width %u, %u tokens known, context %u",
      model.qk_norm() ? "Qwen3" : "Llama", Grouped(parameter_count), model.layer_count(),
      model.hidden_size(), model.vocabulary_size(), model.context_length());
}

// "20", or by a schedule "8 x 5, then 20".
std::string StepsWords(const RoundRules& rules) {
  std::string words;
  for (const InnerStepsPhase& phase : rules.inner_steps_schedule()) {
    absl::StrAppend(&words, phase.rounds(), " x ", phase.inner_steps(), ", then ");
  }
  return absl::StrCat(words, rules.inner_steps());
}

std::string TrainingWords(const RunManifest& run) {
  const InnerTraining& training = run.training();
  return absl::StrFormat(
      "%s, learning rate %g falling to %g, warm-up %u steps, weight decay %g; a step reads "
      "%u samples of %u tokens",
      training.optimizer() == "sgd" ? "SGD" : "AdamW", training.learning_rate(),
      training.learning_rate_min(), training.warmup_steps(), training.weight_decay(),
      training.batch_size(), training.sequence_length());
}

// What a site sends over the whole run: its vector each round, in the encoding of the way up.
std::string LeavingWords(const RunManifest& run, uint64_t parameter_count) {
  const ConsensusScheme& scheme = run.consensus();
  absl::StatusOr<VectorFormat> up =
      FormatFromName(run.encodings().up(), run.encodings().topk_density());
  const uint64_t elements = RangeOfFragment(parameter_count, FragmentCount(scheme), 0).size;
  const uint64_t bytes = up.ok() ? EncodedBytes(*up, elements) : 0;
  return absl::StrFormat(
      "each round %s (%s, %s bytes), its step and token counts, two losses "
      "and two times%s%s; never text",
      FragmentCount(scheme) > 1 ? "a part of a parameter vector" : "one parameter vector",
      up.ok() ? FormatWords(*up) : run.encodings().up(), Grouped(bytes),
      scheme.influence().validation_samples() > 0 ? ", your held-out loss before and after" : "",
      scheme.dual() ? ", how far your vector is from the consensus" : "");
}

// What happens when a round does not go as it should; each in its own words, in one row.
std::string PolicyWords(const RoundRules& rules) {
  std::string words =
      rules.without_quorum() == "abandon"
          ? "is abandoned and opened again from the same base"
          : (rules.extensions_max() == 0
                 ? std::string("is extended")
                 : absl::StrFormat("is extended %u times, then abandoned and opened again from "
                                   "the same base",
                                   rules.extensions_max()));
  words = "without the quorum a round " + words;
  absl::StrAppend(
      &words, rules.late() == "carry"
                  ? absl::StrFormat("; a late contribution counts in a later round, at "
                                    "most %u versions old, 1/(1+age)^%g as much",
                                    std::max(rules.late_staleness_max(), 1u), rules.late_discount())
                  : "; a late contribution is refused");
  if (rules.norm_factor_max() > 0) {
    absl::StrAppendFormat(&words, "; one not within a factor of %g of the median norm is left out",
                          rules.norm_factor_max());
  }
  if (rules.inner_steps_min() > 0) {
    absl::StrAppendFormat(&words, "; a slow site may do %u steps", rules.inner_steps_min());
  }
  return words;
}

std::string EvaluationWords(const RoundRules& rules) {
  if (rules.evaluation_seconds_max() == 0) return "a new consensus is taken without an evaluation";
  return absl::StrFormat(
      "a new consensus waits %u s to be accepted or refused, and without a word is %s",
      rules.evaluation_seconds_max(),
      rules.evaluation_missing() == "accept" ? "accepted" : "refused");
}

// Text format without signatures is refused by VerifyStatement, as a statement that nobody signed.
absl::StatusOr<SignedStatement> LoadVerified(const std::string& path, absl::string_view type,
                                             const Authorities& authorities) {
  absl::StatusOr<SignedStatement> statement = ReadStatement(path, type);
  if (!statement.ok()) return statement.status();
  absl::Status verified = VerifyStatement(*statement, path, type, authorities);
  if (!verified.ok()) return verified;
  return statement;
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<SignedManifest> LoadSignedManifest(const std::string& path,
                                                  const Authorities& authorities) {
  absl::StatusOr<SignedStatement> statement = LoadVerified(path, kManifestType, authorities);
  if (!statement.ok()) return statement.status();
  SignedManifest run;
  run.bytes = std::move(statement->payload);
  run.digest = Sha256(run.bytes);
  if (absl::Status parsed = ParseTextProto(run.bytes, path, &run.manifest); !parsed.ok()) {
    return parsed;
  }
  if (absl::Status checked = CheckManifest(run.manifest); !checked.ok()) {
    return InFile(path, checked);
  }
  return run;
}

absl::StatusOr<SignedMembership> LoadSignedMembership(const std::string& path,
                                                      const Authorities& authorities) {
  absl::StatusOr<SignedStatement> statement = LoadVerified(path, kMembershipType, authorities);
  if (!statement.ok()) return statement.status();
  SignedMembership members;
  members.bytes = std::move(statement->payload);
  members.digest = Sha256(members.bytes);
  if (absl::Status parsed = ParseTextProto(members.bytes, path, &members.membership);
      !parsed.ok()) {
    return parsed;
  }
  if (absl::Status checked = CheckMembership(members.membership); !checked.ok()) {
    return InFile(path, checked);
  }
  return members;
}

std::string DescribeManifest(const RunManifest& run) {
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(run.model());
  const uint64_t parameters = layout.ok() ? layout->element_count() : 0;
  const RoundRules& rules = run.rounds();
  const uint64_t steps = TotalSteps(run);
  const uint64_t step_tokens =
      uint64_t{run.training().batch_size()} * run.training().sequence_length();
  std::string text = absl::StrCat("Run '", run.run_id(), "'", run.description().empty() ? "" : ": ",
                                  run.description(), "\n");
  absl::StrAppend(
      &text, Row("model", ModelWords(run, parameters)),
      Row("starts from", absl::StrCat("the consensus ", run.initial_consensus())),
      Row("tokenizer", absl::StrCat("tokenizer.model with SHA-256 ", run.tokenizer_sha256())),
      Row("rounds",
          absl::StrFormat("%u rounds of %s steps at each site: %s steps, %s tokens a site",
                          rules.round_count(), StepsWords(rules), Grouped(steps),
                          Grouped(steps * step_tokens))),
      Row("", absl::StrFormat("begins with %u sites; a round closes when all have contributed, or "
                              "after %s s with %u",
                              rules.sites_to_start(), Grouped(rules.round_seconds_max()),
                              rules.quorum())),
      Row("", PolicyWords(rules)), Row("", EvaluationWords(rules)),
      Row("training", TrainingWords(run)),
      Row("consensus", absl::StrCat(run.consensus().preset(), ": ", CombineWords(run.consensus()),
                                    "; ", PullWords(run.consensus()))),
      Row("", absl::StrCat(OuterWords(run.consensus().outer()), "; ", MixWords(run.consensus()))),
      Row("", ExchangeWords(run.consensus())),
      Row("influence", InfluenceWords(run.consensus().influence())),
      Row("leaves you", LeavingWords(run, parameters)),
      Row("is refused",
          rules.update_norm_max() > 0
              ? absl::StrFormat("a vector further than %g from its base", rules.update_norm_max())
              : "no vector for its distance from the base (no bound is set)"),
      Row("released", absl::StrFormat("every %u rounds and at the end, under %s",
                                      rules.publish_every(), run.license())),
      Row("seed", absl::StrCat(run.seed())));
  return text;
}

}  // namespace weft
