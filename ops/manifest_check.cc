// What a run manifest and a membership may say. Every problem is collected, so that an operator
// mends a file once.
#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "ops/identity.h"
#include "ops/manifest.h"
#include "ops/manifest_problems.h"
#include "proto/digest.h"
#include "proto/round_schedule.h"
#include "proto/signed_statement.h"

namespace weft {
namespace {

constexpr uint32_t kStepsMax = 100'000'000;
constexpr uint32_t kSitesMax = 1000;
constexpr uint32_t kRoundSecondsMax = 30 * 24 * 3600;
constexpr uint32_t kExtensionsMax = 1000;
constexpr uint32_t kStalenessMax = 64;  // each keeps a consensus on the coordinator's disk
constexpr size_t kDescriptionMax = 500;

void CheckHead(const RunManifest& run, Problems* problems) {
  problems->Unless(run.protocol_version() == kProtocolVersion, "protocol_version",
                   run.protocol_version(), absl::StrCat(kProtocolVersion));
  problems->Unless(IsName(run.run_id()), "run_id", Quoted(run.run_id()),
                   "1 to 64 of a-z, 0-9 and '-', not beginning with '-'");
  bool printable = run.description().size() <= kDescriptionMax;
  for (const unsigned char c : run.description()) printable = printable && c >= ' ' && c != 0x7f;
  if (!printable) problems->Add("description: allowed is one line of at most 500 bytes");
  problems->Unless(DigestFromHex(run.tokenizer_sha256()).ok(), "tokenizer_sha256",
                   Quoted(run.tokenizer_sha256()), "64 hexadecimal digits");
  problems->Unless(DigestFromHex(run.initial_consensus()).ok(), "initial_consensus",
                   Quoted(run.initial_consensus()), "64 hexadecimal digits");
  const std::string& license = run.license();
  problems->Unless(!license.empty() && license.size() <= 64 &&
                       license.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
                                                 "wxyz0123456789.+-") == std::string::npos,
                   "license", Quoted(license), "an SPDX identifier, such as Apache-2.0");
}

void CheckModel(const RunManifest& run, Problems* problems) {
  if (absl::Status config = CheckModelConfig(run.model()); !config.ok()) {
    return problems->Add(std::string(config.message()));
  }
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(run.model());
  if (!layout.ok()) return problems->Add(std::string(layout.status().message()));
  problems->Unless(run.layout_digest() == ToHex(layout->digest()), "layout_digest",
                   Quoted(run.layout_digest()),
                   absl::StrCat(ToHex(layout->digest()), ", the layout that `model` gives"));
}

void CheckRounds(const RunManifest& run, Problems* problems) {
  const RoundRules& rules = run.rounds();
  problems->Unless(rules.round_count() >= 1, "rounds.round_count", rules.round_count(),
                   "1 or more");
  problems->Unless(rules.inner_steps() >= 1, "rounds.inner_steps", rules.inner_steps(),
                   "1 or more");
  for (const InnerStepsPhase& phase : rules.inner_steps_schedule()) {
    problems->Unless(phase.rounds() >= 1 && phase.inner_steps() >= 1, "rounds.inner_steps_schedule",
                     absl::StrCat(phase.rounds(), " rounds of ", phase.inner_steps(), " steps"),
                     "1 or more of each");
  }
  const uint64_t steps = TotalSteps(run);
  problems->Unless(steps <= kStepsMax, "the steps of all rounds", steps,
                   absl::StrCat("at most ", kStepsMax));
  problems->Unless(rules.sites_to_start() >= 1 && rules.sites_to_start() <= kSitesMax,
                   "rounds.sites_to_start", rules.sites_to_start(),
                   absl::StrCat("1 to ", kSitesMax));
  problems->Unless(rules.quorum() >= 1 && rules.quorum() <= rules.sites_to_start(), "rounds.quorum",
                   rules.quorum(), absl::StrCat("1 to sites_to_start, ", rules.sites_to_start()));
  problems->Unless(rules.round_seconds_max() >= 1 && rules.round_seconds_max() <= kRoundSecondsMax,
                   "rounds.round_seconds_max", rules.round_seconds_max(),
                   absl::StrCat("1 to ", kRoundSecondsMax, " (30 days)"));
  problems->Unless(Within(rules.update_norm_max(), 0, 1e12), "rounds.update_norm_max",
                   rules.update_norm_max(), "0 (no bound) to 1e12");
  problems->Unless(rules.publish_every() >= 1, "rounds.publish_every", rules.publish_every(),
                   "1 or more rounds");
}

// What happens when a round does not go as it should.
void CheckPolicies(const RoundRules& rules, Problems* problems) {
  problems->Unless(IsOneOf(rules.without_quorum(), {"", "extend", "abandon"}),
                   "rounds.without_quorum", Quoted(rules.without_quorum()), "extend, abandon");
  problems->Unless(rules.extensions_max() <= kExtensionsMax, "rounds.extensions_max",
                   rules.extensions_max(), absl::StrCat("0 (no bound) to ", kExtensionsMax));
  if (rules.extensions_max() > 0 && rules.without_quorum() == "abandon") {
    problems->Add("rounds.extensions_max belongs to without_quorum: extend; leave one of them out");
  }
  const double factor = rules.norm_factor_max();
  problems->Unless(factor == 0 || Within(factor, 1.1, 1e6), "rounds.norm_factor_max", factor,
                   "0 (off), or 1.1 to 1e6");
  problems->Unless(IsOneOf(rules.late(), {"", "refuse", "carry"}), "rounds.late",
                   Quoted(rules.late()), "refuse, carry");
  problems->Unless(rules.late_staleness_max() <= kStalenessMax, "rounds.late_staleness_max",
                   rules.late_staleness_max(), absl::StrCat("0 to ", kStalenessMax, " versions"));
  problems->Unless(Within(rules.late_discount(), 0, 10), "rounds.late_discount",
                   rules.late_discount(), "0 (none) to 10");
  if (rules.late() != "carry" && (rules.late_staleness_max() > 0 || rules.late_discount() > 0)) {
    problems->Add("rounds.late_staleness_max and late_discount belong to late: carry");
  }
  problems->Unless(rules.inner_steps_min() <= rules.inner_steps(), "rounds.inner_steps_min",
                   rules.inner_steps_min(),
                   absl::StrCat("0 (all of them) to inner_steps, ", rules.inner_steps()));
  problems->Unless(
      rules.upload_seconds() < rules.round_seconds_max() || rules.upload_seconds() == 0,
      "rounds.upload_seconds", rules.upload_seconds(),
      absl::StrCat("less than round_seconds_max, ", rules.round_seconds_max()));
  problems->Unless(rules.evaluation_seconds_max() <= kRoundSecondsMax,
                   "rounds.evaluation_seconds_max", rules.evaluation_seconds_max(),
                   absl::StrCat("0 (no evaluation) to ", kRoundSecondsMax));
  problems->Unless(IsOneOf(rules.evaluation_missing(), {"", "accept", "refuse"}),
                   "rounds.evaluation_missing", Quoted(rules.evaluation_missing()),
                   "accept, refuse");
}

void CheckTraining(const RunManifest& run, Problems* problems) {
  const InnerTraining& training = run.training();
  const uint64_t steps = TotalSteps(run);
  problems->Unless(IsOneOf(training.optimizer(), {"", "adamw", "sgd"}), "training.optimizer",
                   Quoted(training.optimizer()), "adamw, sgd");
  problems->Unless(training.batch_size() >= 1 && training.batch_size() <= 65536,
                   "training.batch_size", training.batch_size(), "1 to 65536");
  problems->Unless(
      training.sequence_length() >= 8 && training.sequence_length() <= run.model().context_length(),
      "training.sequence_length", training.sequence_length(),
      absl::StrCat("8 to the model's context_length, ", run.model().context_length()));
  problems->Unless(training.learning_rate() > 0 && training.learning_rate() <= 1,
                   "training.learning_rate", training.learning_rate(), "above 0, at most 1");
  problems->Unless(Within(training.learning_rate_min(), 0, training.learning_rate()),
                   "training.learning_rate_min", training.learning_rate_min(),
                   "0 to learning_rate");
  problems->Unless(training.warmup_steps() <= steps, "training.warmup_steps",
                   training.warmup_steps(), absl::StrCat("0 to the run's steps, ", steps));
  problems->Unless(training.warmup_after_join_steps() <= steps, "training.warmup_after_join_steps",
                   training.warmup_after_join_steps(),
                   absl::StrCat("0 to the run's steps, ", steps));
  problems->Unless(Within(training.weight_decay(), 0, 1), "training.weight_decay",
                   training.weight_decay(), "0 to 1");
  problems->Unless(Within(training.beta1(), 0, 0.9999), "training.beta1", training.beta1(),
                   "0 to 0.9999");
  problems->Unless(Within(training.beta2(), 0, 0.99999), "training.beta2", training.beta2(),
                   "0 to 0.99999");
  problems->Unless(training.epsilon() > 0 && training.epsilon() <= 1e-2, "training.epsilon",
                   training.epsilon(), "above 0, at most 0.01");
  problems->Unless(Within(training.gradient_clip(), 0, 1e6), "training.gradient_clip",
                   training.gradient_clip(), "0 (none) to 1e6");
}

void CheckEncodings(const Encodings& encodings, Problems* problems) {
  constexpr absl::string_view kNames =
      "parameters_fp32, delta_bf16, delta_int8, delta_int4, topk_int4";
  problems->Unless(EncodingFromName(encodings.up()).ok(), "encodings.up", Quoted(encodings.up()),
                   kNames);
  problems->Unless(EncodingFromName(encodings.down()).ok(), "encodings.down",
                   Quoted(encodings.down()), kNames);
  const bool topk = encodings.up() == "topk_int4" || encodings.down() == "topk_int4";
  problems->Unless(topk ? FormatFromName("topk_int4", encodings.topk_density()).ok()
                        : encodings.topk_density() == 0,
                   "encodings.topk_density", encodings.topk_density(),
                   "above 0, at most 0.25 with topk_int4; otherwise 0");
}

void CheckMember(const MemberSite& site, Problems* problems) {
  const std::string field = absl::StrCat("site '", site.name(), "'");
  if (!IsName(site.name()) || site.name() == kCoordinatorName) {
    problems->Add(absl::StrCat(field,
                               ": allowed are 1 to 64 of a-z, 0-9 and '-', not beginning "
                               "with '-', and not 'coordinator'"));
  }
  if (absl::StatusOr<std::string> id = KeyId(site.public_key()); !id.ok()) {
    problems->Add(absl::StrCat(field, ": public_key: ", id.status().message()));
  }
  problems->Unless(Within(site.weight(), 0, 1e9), absl::StrCat(field, ": weight"), site.weight(),
                   "0 (every site the same) to 1e9");
}

}  // namespace

bool IsName(absl::string_view name) {
  if (name.empty() || name.size() > 64 || name.front() == '-') return false;
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == absl::string_view::npos;
}

absl::Status CheckManifest(const RunManifest& manifest) {
  Problems problems;
  CheckHead(manifest, &problems);
  CheckModel(manifest, &problems);
  CheckConsensus(manifest, &problems);
  CheckRounds(manifest, &problems);
  CheckPolicies(manifest.rounds(), &problems);
  CheckTraining(manifest, &problems);
  CheckEncodings(manifest.encodings(), &problems);
  return problems.ToStatus("the run manifest");
}

absl::Status CheckMembership(const Membership& membership) {
  Problems problems;
  problems.Unless(membership.protocol_version() == kProtocolVersion, "protocol_version",
                  membership.protocol_version(), absl::StrCat(kProtocolVersion));
  problems.Unless(IsName(membership.run_id()), "run_id", Quoted(membership.run_id()),
                  "1 to 64 of a-z, 0-9 and '-', not beginning with '-'");
  problems.Unless(membership.version() >= 1, "version", membership.version(), "1 or more");
  problems.Unless(
      membership.sites_size() >= 1 && membership.sites_size() <= static_cast<int>(kSitesMax),
      "the number of sites", membership.sites_size(), absl::StrCat("1 to ", kSitesMax));
  std::set<std::string> names, keys;
  int weighted = 0;
  for (const MemberSite& site : membership.sites()) {
    CheckMember(site, &problems);
    weighted += site.weight() > 0;
    if (!names.insert(site.name()).second) {
      problems.Add(absl::StrCat("site '", site.name(), "' is listed twice"));
    }
    if (!keys.insert(site.public_key()).second) {
      problems.Add(absl::StrCat("site '", site.name(), "' has the key of another site"));
    }
  }
  if (weighted != 0 && weighted != membership.sites_size()) {
    problems.Add("weight: give it to every site, or to none (then all count the same)");
  }
  return problems.ToStatus("the membership");
}

}  // namespace weft
