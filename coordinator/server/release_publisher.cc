#include "coordinator/server/release_publisher.h"

#include <filesystem>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "nlohmann/json.hpp"
#include "proto/digest.h"
#include "proto/durable_file.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;
using File = std::pair<std::string, std::string>;

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }
std::string Time(int64_t unix_ms) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(unix_ms),
                          absl::UTCTimeZone());
}

Json RoundAsJson(const RoundRecord& round) {
  Json line = {{"round", round.round()},
               {"base_version", round.base_version()},
               {"base_digest", Hex(round.base_digest())},
               {"cohort", std::vector<std::string>(round.cohort().begin(), round.cohort().end())},
               {"opened", Time(round.opened_unix_ms())},
               {"closed", Time(round.closed_unix_ms())},
               {"closed_reason", round.closed_reason()},
               {"extensions", round.extensions()},
               {"fragment", round.fragment()},
               {"inner_steps", round.inner_steps()},
               {"base_weight", round.base_weight()},
               {"abandoned", round.abandoned()},
               {"evaluation", round.evaluation()},
               {"refused", round.refused()}};
  line["contributions"] = Json::array();
  for (const StoredContribution& c : round.contributions()) {
    line["contributions"].push_back({{"site", c.site()},
                                     {"weight", c.weight()},
                                     {"update_norm", c.update_norm()},
                                     {"digest", Hex(c.digest())},
                                     {"encoding", c.encoding()},
                                     {"bytes", c.bytes()},
                                     {"inner_steps", c.inner_steps()},
                                     {"token_count", c.token_count()},
                                     {"staleness", c.staleness()},
                                     {"scale", c.scale() == 0 ? 1 : c.scale()},
                                     {"cosine", c.cosine()},
                                     {"validation_before", c.validation_before()},
                                     {"validation_after", c.validation_after()},
                                     {"stored", Time(c.stored_unix_ms())}});
  }
  line["excluded"] = Json::array();
  for (const ExcludedContribution& e : round.excluded()) {
    line["excluded"].push_back({{"site", e.contribution().site()},
                                {"digest", Hex(e.contribution().digest())},
                                {"reason", e.reason()}});
  }
  line["refusals"] = Json::array();
  for (const RefusalRecord& r : round.refusals()) {
    line["refusals"].push_back({{"site", r.site()},
                                {"code", Refusal::Code_Name(r.refusal().code())},
                                {"reason", r.refusal().reason()},
                                {"time", Time(r.unix_ms())}});
  }
  if (round.rho() > 0) {  // the residuals of ADMM
    line["primal_residual"] = round.primal_residual();
    line["dual_residual"] = round.dual_residual();
    line["rho"] = round.rho();
  }
  line["result_digest"] = Hex(round.result_digest());
  line["result_bytes"] = round.result_bytes();
  line["down_bytes"] = round.down_bytes();
  line["done"] = Time(round.done_unix_ms());
  return line;
}

// What a peer said is in our strings (reasons quote names): bytes that are not UTF-8 become U+FFFD.
std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string PrintRounds(const Release& release) {
  std::string text;
  for (const RoundRecord& round : release.rounds) text += Line(RoundAsJson(round));
  return text;
}

std::string PrintTrainingLog(const Release& release) {
  std::map<uint64_t, Json> rounds;
  for (const SiteReport& entry : release.reports) {
    const RoundReport& report = entry.report();
    Json& line = rounds[report.round()];
    line["round"] = report.round();
    line["sites"][entry.site()] = {{"first_loss", report.first_loss()},
                                   {"last_loss", report.last_loss()},
                                   {"inner_steps", report.inner_steps_done()},
                                   {"seconds_training", report.seconds_training()},
                                   {"seconds_waiting", report.seconds_waiting()}};
  }
  std::string text;
  for (const auto& [round, line] : rounds) text += Line(line);
  return text;
}

std::string LicenseText(const RunManifest& manifest) {
  return absl::StrCat(
      "SPDX-License-Identifier: ", manifest.license(),
      "\n\nThe files of this release are made available under the license that this SPDX "
      "identifier names.\nIts text: https://spdx.org/licenses/",
      manifest.license(), ".html\n");
}

std::string ModelCard(const RunManifest& manifest, const Release& release) {
  uint64_t tokens = 0;
  std::map<std::string, int> sites;
  for (const RoundRecord& round : release.rounds) {
    for (const StoredContribution& c : round.contributions()) {
      tokens += c.token_count();
      ++sites[c.site()];
    }
  }
  std::string card = absl::StrCat(
      "---\nlicense: ", absl::AsciiStrToLower(manifest.license()),
      "\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n# ", manifest.run_id(),
      ", round ", release.version, "\n\n", manifest.description(),
      manifest.description().empty() ? "" : "\n\n", "This is consensus version ", release.version,
      " of ", manifest.rounds().round_count(),
      " of a federated training run made with Weft: several sites trained on text that they did "
      "not show "
      "each other, and only parameter vectors were combined.\n\n");
  absl::StrAppend(&card, "| | |\n| --- | --- |\n| architecture | ",
                  manifest.model().qk_norm() ? "Qwen3ForCausalLM" : "LlamaForCausalLM",
                  " |\n| context | ", manifest.model().context_length(), " tokens |\n| license | ",
                  manifest.license(), " |\n| consensus digest | `", release.digest,
                  "` |\n| parameter layout | `", release.layout_digest,
                  "` |\n| tokens trained on | ", tokens, " |\n| consensus scheme | ",
                  manifest.consensus().preset(), ", ", manifest.rounds().inner_steps(),
                  " inner steps a round |\n\n## Sites\n\n");
  if (sites.empty())
    absl::StrAppend(&card, "None yet: these are the initial parameters of the run.\n");
  for (const auto& [site, rounds] : sites) {
    absl::StrAppend(&card, "- ", site, ": contributed to ", rounds, " of ", release.rounds.size(),
                    " rounds\n");
  }
  absl::StrAppend(
      &card,
      "\n## Files\n\n`run_manifest.textproto` is the run as every site accepted it; `rounds.jsonl` "
      "tells "
      "for each round who took part with which weight, what was refused and why, and every digest; "
      "`training_log.jsonl` has the scalars that the sites report; `SHA256SUMS` covers all files "
      "(`sha256sum -c SHA256SUMS`).\n\n## Limits\n\nThe data is private and is not published. A "
      "language "
      "model's parameters can memorise parts of what it was trained on, and what it writes can be "
      "false. This release carries no evaluation.\n\n## Use\n\n    from transformers import "
      "AutoModelForCausalLM, AutoTokenizer\n    model = "
      "AutoModelForCausalLM.from_pretrained(\"PATH\")\n    tokenizer = "
      "AutoTokenizer.from_pretrained(\"PATH\")\n");
  return card;
}

// What a publisher that was killed has left: a folder is given its name last.
void RemoveUnfinished(const std::string& releases) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(releases, error)) {
    if (absl::EndsWith(entry.path().filename().string(), kTemporarySuffix)) {
      fs::remove_all(entry.path(), error);
    }
  }
}

}  // namespace

std::string ReleaseFolder(const std::string& releases, uint64_t version) {
  return absl::StrFormat("%s/round-%06d", releases, version);
}

absl::Status WriteRelease(const std::string& releases, const RunManifest& manifest,
                          const std::string& manifest_text, const std::string& tokenizer_folder,
                          const Release& release) {
  const std::string folder = ReleaseFolder(releases, release.version);
  if (fs::exists(folder)) return absl::OkStatus();  // it has this name only when it is whole
  const absl::StatusOr<Digest> layout = DigestFromHex(release.layout_digest);
  if (!layout.ok()) return layout.status();
  const absl::StatusOr<ParameterVector> vector = ReadParameters(release.vector_path, *layout);
  if (!vector.ok()) return vector.status();

  if (absl::Status status = MakeDirectories(releases); !status.ok()) return status;
  RemoveUnfinished(releases);
  const std::vector<File> files = {{"README.md", ModelCard(manifest, release)},
                                   {"LICENSE", LicenseText(manifest)},
                                   {"run_manifest.textproto", manifest_text},
                                   {"rounds.jsonl", PrintRounds(release)},
                                   {"training_log.jsonl", PrintTrainingLog(release)}};
  return WriteHuggingFaceFolder(folder, manifest.model(), vector->span(), tokenizer_folder, files);
}

}  // namespace weft
