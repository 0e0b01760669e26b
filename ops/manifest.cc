#include "ops/manifest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "ops/signed_file.h"
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
  if (scheme.pull() > 0) {
    return absl::StrFormat("a round pulls a site's vector %.3g %% of the way back to the consensus",
                           100 * scheme.pull());
  }
  if (scheme.rho() > 0)
    return absl::StrFormat("a pull towards the consensus, rho %g", scheme.rho());
  return "no pull towards the consensus";
}

std::string OuterWords(const OuterOptimizer& outer) {
  std::string words =
      absl::StrFormat("outer step %s, learning rate %g", outer.name(), outer.learning_rate());
  if (outer.momentum() > 0) {
    absl::StrAppendFormat(&words, ", %smomentum %g", outer.nesterov() ? "Nesterov " : "",
                          outer.momentum());
  }
  return words;
}

std::string AlphaWords(double alpha) {
  if (alpha == 1) return "a site takes the new consensus whole";
  return absl::StrFormat("a site takes %.3g %% of the new consensus", 100 * alpha);
}

std::string ModelWords(const RunManifest& run, uint64_t parameter_count) {
  const ModelConfig& model = run.model();
  return absl::StrFormat(
      "%s form, %s parameters: %u layers of width %u, %u tokens known, context %u",
      model.qk_norm() ? "Qwen3" : "Llama", Grouped(parameter_count), model.layer_count(),
      model.hidden_size(), model.vocabulary_size(), model.context_length());
}

std::string TrainingWords(const RunManifest& run) {
  const InnerTraining& training = run.training();
  return absl::StrFormat(
      "AdamW, learning rate %g falling to %g, warm-up %u steps, weight decay %g; a step reads "
      "%u samples of %u tokens",
      training.learning_rate(), training.learning_rate_min(), training.warmup_steps(),
      training.weight_decay(), training.batch_size(), training.sequence_length());
}

// What a site sends over the whole run: its vector each round, in the encoding of the way up.
std::string LeavingWords(const RunManifest& run, uint64_t parameter_count) {
  absl::StatusOr<Encoding> up = EncodingFromName(run.encodings().up());
  const uint64_t bytes = up.ok() ? EncodedBytes(*up, parameter_count) : 0;
  return absl::StrFormat(
      "each round one parameter vector (%s, %s bytes), its step and token counts, and five numbers "
      "(losses, time); never text",
      run.encodings().up(), Grouped(bytes));
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

absl::Status ApplyPreset(absl::string_view preset, ConsensusScheme* scheme) {
  struct Preset {
    absl::string_view name;
    double pull, learning_rate, momentum;
  };
  // McMahan 2017; Li 2020; Douillard 2023, with its outer learning rate and momentum; ours.
  constexpr Preset kPresets[] = {{"fedavg", 0, 1.0, 0},
                                 {"fedprox", 0.2, 1.0, 0},
                                 {"diloco", 0, 0.7, 0.9},
                                 {"proximal", 0.5, 1.0, 0}};
  for (const Preset& entry : kPresets) {
    if (entry.name != preset) continue;
    scheme->Clear();
    scheme->set_preset(std::string(preset));
    scheme->set_pull(entry.pull);
    scheme->set_alpha(1);
    scheme->set_combine("mean");
    scheme->mutable_outer()->set_name("sgd");
    scheme->mutable_outer()->set_learning_rate(entry.learning_rate);
    scheme->mutable_outer()->set_momentum(entry.momentum);
    scheme->mutable_outer()->set_nesterov(entry.momentum > 0);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "there is no preset '", preset,
      "'; there are: ", absl::StrJoin(kPresets, ", ", [](std::string* out, const Preset& entry) {
        absl::StrAppend(out, entry.name);
      })));
}

std::string DescribeManifest(const RunManifest& run) {
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(run.model());
  const uint64_t parameters = layout.ok() ? layout->element_count() : 0;
  const RoundRules& rules = run.rounds();
  const uint64_t steps = uint64_t{rules.round_count()} * rules.inner_steps();
  const uint64_t step_tokens =
      uint64_t{run.training().batch_size()} * run.training().sequence_length();
  std::string text = absl::StrCat("Run '", run.run_id(), "'", run.description().empty() ? "" : ": ",
                                  run.description(), "\n");
  absl::StrAppend(
      &text, Row("model", ModelWords(run, parameters)),
      Row("starts from", absl::StrCat("the consensus ", run.initial_consensus())),
      Row("tokenizer", absl::StrCat("tokenizer.model with SHA-256 ", run.tokenizer_sha256())),
      Row("rounds",
          absl::StrFormat("%u rounds of %u steps at each site: %s steps, %s tokens a site",
                          rules.round_count(), rules.inner_steps(), Grouped(steps),
                          Grouped(steps * step_tokens))),
      Row("", absl::StrFormat("begins with %u sites; a round closes when all have contributed, or "
                              "after %s s with %u",
                              rules.sites_to_start(), Grouped(rules.round_seconds_max()),
                              rules.quorum())),
      Row("", PolicyWords(rules)), Row("", EvaluationWords(rules)),
      Row("training", TrainingWords(run)),
      Row("consensus", absl::StrCat(run.consensus().preset(), ": the ", run.consensus().combine(),
                                    " of the sites' vectors; ", PullWords(run.consensus()))),
      Row("", absl::StrCat(OuterWords(run.consensus().outer()), "; ",
                           AlphaWords(run.consensus().alpha()))),
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
