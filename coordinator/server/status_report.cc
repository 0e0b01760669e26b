#include "coordinator/server/status_report.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "coordinator/server/run_folder.h"
#include "coordinator/store/rocksdb_round_store.h"
#include "coordinator/tools/run_plan.h"
#include "nlohmann/json.hpp"
#include "proto/durable_file.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;
constexpr uint64_t kDecisionsShown = 10;

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }
std::string Time(int64_t unix_ms) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixMillis(unix_ms), absl::UTCTimeZone());
}

std::vector<std::string> ReleaseNames(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!absl::EndsWith(name, kTemporarySuffix)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Json AsJson(const RunManifest& manifest, const RoundState& state,
            const std::vector<AuditRecord>& newest, const std::vector<std::string>& releases) {
  const RoundRecord& round = state.current();
  Json json = {{"run_id", manifest.run_id()},
               {"phase", RoundEvent::Phase_Name(state.phase())},
               {"reason", state.reason()},
               {"round", round.round()},
               {"round_count", manifest.rounds().round_count()},
               {"coordinator_epoch", state.coordinator_epoch()},
               {"consensus_version", state.consensus().version()},
               {"consensus_digest", Hex(state.consensus().digest())},
               {"deadline", state.deadline_unix_ms() == 0 ? "" : Time(state.deadline_unix_ms())},
               {"extensions", round.extensions()},
               {"quorum", manifest.rounds().quorum()},
               {"membership_version", state.membership().version()}};
  json["cohort"] = std::vector<std::string>(round.cohort().begin(), round.cohort().end());
  json["reopened"] = round.reopened();
  json["rounds_done"] = state.rounds_done();
  json["pause_asked"] = state.has_pause() ? state.pause().reason() : "";
  json["candidate_version"] = state.candidate().version();  // 0: none waits
  json["candidate_digest"] = Hex(state.candidate().digest());
  json["last_good_version"] = state.last_good().version();
  json["carried"] = Json::array();
  for (const StoredContribution& c : state.carried()) {
    json["carried"].push_back(
        {{"site", c.site()}, {"round", c.round()}, {"base_version", c.base_version()}});
  }
  json["contributions"] = Json::array();
  for (const StoredContribution& c : round.contributions()) {
    json["contributions"].push_back({{"site", c.site()},
                                     {"digest", Hex(c.digest())},
                                     {"bytes", c.bytes()},
                                     {"update_norm", c.update_norm()},
                                     {"stored", Time(c.stored_unix_ms())}});
  }
  json["sites"] = Json::array();
  for (const SiteState& site : state.sites()) {
    json["sites"].push_back(
        {{"site", site.name()}, {"connected", site.connected()}, {"invited_next", site.active()}});
  }
  json["outcomes"] = Json::array();
  for (const SiteOutcome& known : state.outcomes()) {
    const ContributionOutcome& outcome = known.outcome();
    json["outcomes"].push_back({{"site", known.site()},
                                {"round", outcome.round()},
                                {"included", outcome.included()},
                                {"weight", outcome.weight()},
                                {"counted_in", outcome.counted_in()},
                                {"reason", outcome.reason()}});
  }
  json["releases"] = releases;
  json["decisions"] = Json::array();
  for (const AuditRecord& record : newest) {
    const Decision& d = record.decision();
    json["decisions"].push_back(
        {{"sequence", record.sequence()},
         {"time", Time(record.unix_ms())},
         {"code", Decision::Code_Name(d.code())},
         {"refusal", d.refusal() == Refusal::NONE ? "" : Refusal::Code_Name(d.refusal())},
         {"round", d.round()},
         {"site", d.site()},
         {"reason", d.reason()}});
  }
  return json;
}

void AddDisk(const LoadedRun& run, const RoundState& state, Json* json) {
  PlanOptions options;
  options.sites = std::max(run.manifest.manifest.rounds().sites_to_start(),
                           static_cast<uint32_t>(state.membership().sites_size()));
  options.keep_contributions = fs::exists(run.paths.kept());
  (*json)["disk_used_bytes"] = DiskUsedBytes(run.paths.folder);
  (*json)["disk_bound_bytes"] =
      MakeRunPlan(run.manifest.manifest, run.layout.element_count(), options)
          .coordinator_disk_bytes;
}

std::string InWords(const Json& json) {
  const auto text = [&json](const char* key) {
    return json[key].is_string() ? json[key].get<std::string>() : json[key].dump();
  };
  std::string words =
      absl::StrCat("run ", text("run_id"), ": ", text("phase"), ", round ", text("round"), " of ",
                   text("round_count"), "\n  why: ", text("reason"), "\n  consensus: version ",
                   text("consensus_version"), ", ", text("consensus_digest"),
                   "\n  disk: ", text("disk_used_bytes"), " bytes used, at most ",
                   text("disk_bound_bytes"), " in this run\n");
  if (!text("deadline").empty()) absl::StrAppend(&words, "  deadline: ", text("deadline"), "\n");
  if (json["candidate_version"] != 0) {
    absl::StrAppend(&words, "  waits for weft-coordinator gate: version ",
                    text("candidate_version"), ", blobs/", text("candidate_digest"), "\n");
  }
  if (json["phase"] != "PAUSED" && !text("pause_asked").empty()) {
    absl::StrAppend(&words, "  a pause is asked for: ", text("pause_asked"), "\n");
  }
  for (const Json& c : json["carried"]) {
    absl::StrAppend(&words, "  site ", c["site"].get<std::string>(),
                    ": a late contribution of round ", c["round"].dump(),
                    " counts in the next close\n");
  }
  for (const Json& site : json["sites"]) {
    const std::string name = site["site"].get<std::string>();
    const auto& contributions = json["contributions"];
    const bool stored = std::any_of(contributions.begin(), contributions.end(),
                                    [&](const Json& c) { return c["site"] == name; });
    absl::StrAppend(&words, "  site ", name, ": ",
                    site["connected"].get<bool>() ? "connected" : "not connected",
                    stored ? ", contribution stored" : "", "\n");
  }
  for (const Json& name : json["releases"]) {
    absl::StrAppend(&words, "  release ", name.get<std::string>(), "\n");
  }
  for (const Json& d : json["decisions"]) {
    absl::StrAppend(&words, "  ", d["time"].get<std::string>(), " ", d["code"].get<std::string>(),
                    " ", d["refusal"].get<std::string>(), " ", d["site"].get<std::string>(), ": ",
                    d["reason"].get<std::string>(), "\n");
  }
  return words;
}

}  // namespace

absl::StatusOr<std::string> ReportStatus(const std::string& folder, bool as_json) {
  const absl::StatusOr<LoadedRun> run = LoadRunFolder(folder);
  if (!run.ok()) return run.status();
  const auto store =
      RocksDbRoundStore::Open(run->paths.state(), RocksDbRoundStore::Mode::kReadOnly);
  if (!store.ok()) return store.status();
  const absl::StatusOr<RoundState> state = (*store)->LoadState();
  if (!state.ok()) return state.status();
  const absl::StatusOr<std::vector<AuditRecord>> newest = (*store)->Audit(kDecisionsShown);
  if (!newest.ok()) return newest.status();
  Json json = AsJson(run->manifest.manifest, *state, *newest, ReleaseNames(run->paths.releases()));
  AddDisk(*run, *state, &json);
  if (!as_json) return InWords(json);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace weft
