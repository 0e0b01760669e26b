#include "tests/benchmark/consensus_comparison/records.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/durable_file.h"

namespace weft::comparison {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const SiteRecord& site) {
  Json json = {{"name", site.name},
               {"text_bytes", site.text_bytes},
               {"text_tokens", site.text_tokens},
               {"held_out_bytes", site.held_out_bytes},
               {"tokens", site.tokens},
               {"rounds", site.rounds},
               {"bytes_up", site.bytes_up},
               {"bytes_down", site.bytes_down},
               {"consensus", site.consensus}};
  if (site.own.has_value()) json["own"] = *site.own;
  if (site.own_on_pooled.has_value()) json["own_on_pooled"] = *site.own_on_pooled;
  return json;
}

SiteRecord SiteFrom(const Json& json) {
  SiteRecord site;
  site.name = json.at("name");
  site.text_bytes = json.at("text_bytes");
  site.text_tokens = json.at("text_tokens");
  site.held_out_bytes = json.at("held_out_bytes");
  site.tokens = json.at("tokens");
  site.rounds = json.at("rounds");
  site.bytes_up = json.at("bytes_up");
  site.bytes_down = json.at("bytes_down");
  site.consensus = json.at("consensus");
  if (json.contains("own")) site.own = json.at("own").get<double>();
  if (json.contains("own_on_pooled")) site.own_on_pooled = json.at("own_on_pooled").get<double>();
  return site;
}

}  // namespace

std::string PrintRecord(const Record& record) {
  Json json = {{"cell", record.cell},
               {"group", record.group},
               {"kind", record.kind},
               {"seed", record.seed},
               {"steps", record.steps},
               {"inner_steps", record.inner_steps},
               {"rounds", record.rounds},
               {"tokens", record.tokens},
               {"parameters", record.parameters},
               {"has_consensus", record.has_consensus},
               {"pooled_bits_per_byte", record.pooled},
               {"pooled_low", record.pooled_low},
               {"pooled_high", record.pooled_high},
               {"seconds_training", record.seconds_training},
               {"seconds_scoring", record.seconds_scoring},
               {"version", record.version},
               {"command", record.command},
               {"scheme", record.scheme}};
  json["sites"] = Json::array();
  for (const SiteRecord& site : record.sites) json["sites"].push_back(ToJson(site));
  return json.dump();
}

absl::StatusOr<Record> ParseRecord(absl::string_view line) {
  try {
    const Json json = Json::parse(line);
    Record record;
    record.cell = json.at("cell");
    record.group = json.at("group");
    record.kind = json.at("kind");
    record.seed = json.at("seed");
    record.steps = json.at("steps");
    record.inner_steps = json.at("inner_steps");
    record.rounds = json.at("rounds");
    record.tokens = json.at("tokens");
    record.parameters = json.at("parameters");
    record.has_consensus = json.at("has_consensus");
    record.pooled = json.at("pooled_bits_per_byte");
    record.pooled_low = json.at("pooled_low");
    record.pooled_high = json.at("pooled_high");
    record.seconds_training = json.at("seconds_training");
    record.seconds_scoring = json.at("seconds_scoring");
    record.version = json.at("version");
    record.command = json.at("command");
    record.scheme = json.at("scheme");
    for (const Json& site : json.at("sites")) record.sites.push_back(SiteFrom(site));
    return record;
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat("not a record: ", error.what()));
  }
}

absl::StatusOr<std::vector<Record>> ReadRecords(const std::string& path) {
  absl::StatusOr<std::string> text = ReadWholeFile(path);
  if (absl::IsNotFound(text.status())) return std::vector<Record>();
  if (!text.ok()) return text.status();
  std::vector<Record> records;
  int number = 0;
  std::vector<absl::string_view> lines = absl::StrSplit(*text, '\n');
  lines.pop_back();
  for (const absl::string_view line : lines) {
    ++number;
    absl::StatusOr<Record> record = ParseRecord(line);
    if (!record.ok()) {
      return absl::DataLossError(absl::StrCat(path, ":", number, ": ", record.status().message()));
    }
    records.push_back(*std::move(record));
  }
  return records;
}

absl::Status AppendRecord(const std::string& path, const Record& record) {
  const absl::StatusOr<std::vector<Record>> before = ReadRecords(path);
  if (!before.ok()) return before.status();
  std::string text;
  for (const Record& one : *before) absl::StrAppend(&text, PrintRecord(one), "\n");
  absl::StrAppend(&text, PrintRecord(record), "\n");
  return WriteFileDurably(path, text);
}

}  // namespace weft::comparison
