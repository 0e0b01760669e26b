#include "tests/benchmark/consensus_comparison/cells.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/text_format.h"
#include "model/formats/huggingface.h"
#include "ops/manifest.h"
#include "proto/digest.h"
#include "proto/round_schedule.h"
#include "proto/text_file.h"

namespace weft::comparison {
namespace {

constexpr uint32_t kRoundSecondsMax = 30 * 24 * 3600;
constexpr char kPlainEncoding[] = "parameters_fp32";

struct CellEntry {
  const char* name;
  const char* group;
  Kind kind;
  const char* preset;
  uint32_t inner_steps;
  const char* changes = "";
  uint32_t early_inner_steps = 0;
  uint32_t early_percent = 0;
};

constexpr Kind kFed = Kind::kFederation;
constexpr CellEntry kCells[] = {
    {"pooled", "references", Kind::kPooled, "", 0},
    {"all-reduce", "references", Kind::kAllReduce, "", 1},
    {"alone", "references", Kind::kAlone, "", 0},
    {"fedavg-h10", "presets", kFed, "fedavg", 10},
    {"fedavg-h50", "presets", kFed, "fedavg", 50},
    {"fedprox-h10", "presets", kFed, "fedprox", 10},
    {"fedprox-h50", "presets", kFed, "fedprox", 50},
    {"elastic-h10", "presets", kFed, "elastic", 10},
    {"elastic-h50", "presets", kFed, "elastic", 50},
    {"elastic-async-h10", "presets", kFed, "elastic_async", 10},
    {"elastic-async-h50", "presets", kFed, "elastic_async", 50},
    {"delayed-h10", "presets", kFed, "delayed", 10},
    {"delayed-h50", "presets", kFed, "delayed", 50},
    {"diloco-h10", "presets", kFed, "diloco", 10},
    {"diloco-h50", "presets", kFed, "diloco", 50},
    {"fedadam-h10", "presets", kFed, "fedadam", 10},
    {"fedadam-h50", "presets", kFed, "fedadam", 50},
    {"admm-h10", "presets", kFed, "admm", 10},
    {"admm-h50", "presets", kFed, "admm", 50},
    {"proximal-h10", "presets", kFed, "proximal", 10},
    {"proximal-h50", "presets", kFed, "proximal", 50},
    // fedavg is the pull 0, fedprox 0.2, proximal 0.5, all with the mean as outer step.
    {"proximal-h10-pull0.7", "pulls", kFed, "proximal", 10, "consensus { pull: 0.7 }"},
    {"proximal-h10-pull0.9", "pulls", kFed, "proximal", 10, "consensus { pull: 0.9 }"},
    {"proximal-h50-pull0.9", "pulls", kFed, "proximal", 50, "consensus { pull: 0.9 }"},
    {"fedprox-h10-coupled", "pulls", kFed, "fedprox", 10, "consensus { pull_form: 'gradient' }"},
    {"proximal-h10-alpha0.5", "pulls", kFed, "proximal", 10, "consensus { alpha: 0.5 }"},
    {"fedavg-h150", "pulls", kFed, "fedavg", 150},
    {"proximal-h150", "pulls", kFed, "proximal", 150},
    {"proximal-h150-pull0.9", "pulls", kFed, "proximal", 150, "consensus { pull: 0.9 }"},
    {"fedavg-h1", "exchanges", kFed, "fedavg", 1},
    {"fedavg-h2", "exchanges", kFed, "fedavg", 2},
    // Outer steps beyond the mean: half of the last one again, or half more of this one.
    {"diloco-h10-1.0-0.5", "outer steps", kFed, "diloco", 10,
     "consensus { outer { learning_rate: 1.0 momentum: 0.5 } }"},
    {"diloco-h50-1.0-0.5", "outer steps", kFed, "diloco", 50,
     "consensus { outer { learning_rate: 1.0 momentum: 0.5 } }"},
    {"proximal-h10-outer1.5", "outer steps", kFed, "proximal", 10,
     "consensus { outer { learning_rate: 1.5 } }"},
    {"proximal-h50-outer1.5", "outer steps", kFed, "proximal", 50,
     "consensus { outer { learning_rate: 1.5 } }"},
    {"proximal-h50-outer2", "outer steps", kFed, "proximal", 50,
     "consensus { outer { learning_rate: 2 } }"},
    {"proximal-h150-outer1.5", "outer steps", kFed, "proximal", 150,
     "consensus { outer { learning_rate: 1.5 } }"},
    // The preset makes up for its discount; this does not, and moves the consensus by 1/7 of each
    // contribution at most.
    {"delayed-h10-outer0.14", "asynchrony", kFed, "delayed", 10,
     "consensus { outer { learning_rate: 0.142857 } }"},
    // 20 rounds each: the same bytes in three orders.
    {"proximal-h15", "schedules", kFed, "proximal", 15},
    {"proximal-h5-then-30", "schedules", kFed, "proximal", 30, "", 5, 20},
    {"proximal-h30-then-5", "schedules", kFed, "proximal", 5, "", 30, 80},
    // Streaming DiLoCo: a third of the vector every 5 steps, each of them every 15, and taken a
    // step later. The bytes and the pull between two exchanges are those of proximal-h15.
    {"fragments3-h5", "fragments", kFed, "proximal", 5,
     "consensus { fragments: 3 fragment_delay_steps: 1 }"},
};

Cell CellOf(const CellEntry& entry) {
  return {.name = entry.name,
          .kind = entry.kind,
          .preset = entry.preset,
          .inner_steps = entry.inner_steps,
          .early_inner_steps = entry.early_inner_steps,
          .early_percent = entry.early_percent,
          .changes = entry.changes,
          .encoding = kPlainEncoding,
          .group = entry.group};
}

absl::Status FillRounds(const Cell& cell, const Setting& setting, uint32_t sites,
                        RunManifest* manifest) {
  RoundRules* rules = manifest->mutable_rounds();
  const uint32_t early_steps = setting.steps * cell.early_percent / 100;
  const uint32_t steps = setting.steps - early_steps;
  const bool even = setting.steps * cell.early_percent % 100 == 0 &&
                    (early_steps == 0 || early_steps % cell.early_inner_steps == 0) &&
                    steps % cell.inner_steps == 0;
  if (!even) {
    return absl::InvalidArgumentError(
        absl::StrCat(cell.name, ": ", setting.steps,
                     " steps cannot be divided into whole rounds: a multiple of 150 can"));
  }
  uint32_t rounds = steps / cell.inner_steps;
  if (early_steps > 0) {
    InnerStepsPhase* early = rules->add_inner_steps_schedule();
    early->set_inner_steps(cell.early_inner_steps);
    early->set_rounds(early_steps / cell.early_inner_steps);
    rounds += early->rounds();
  }
  // Without a barrier a round is the work of one site.
  if (IsAsynchronous(manifest->consensus())) rounds *= sites;
  rules->set_round_count(rounds);
  rules->set_inner_steps(cell.inner_steps);
  rules->set_quorum(IsAsynchronous(manifest->consensus()) ? 1 : sites);
  rules->set_round_seconds_max(kRoundSecondsMax);
  rules->set_publish_every(rounds);
  return absl::OkStatus();
}

}  // namespace

std::vector<Cell> AllCells() {
  std::vector<Cell> cells;
  for (const CellEntry& entry : kCells) cells.push_back(CellOf(entry));
  return cells;
}

absl::StatusOr<Cell> FindCell(absl::string_view name) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(name, absl::MaxSplits('+', 1));
  std::vector<std::string> names;
  for (Cell& cell : AllCells()) {
    names.push_back(cell.name);
    if (cell.name != parts.first) continue;
    if (parts.second.empty()) return cell;
    if (cell.kind != Kind::kFederation) break;
    cell.name = std::string(name);
    cell.encoding = std::string(parts.second);
    cell.group = "encodings";
    return cell;
  }
  return absl::NotFoundError(absl::StrCat("there is no cell '", name,
                                          "'; there are: ", absl::StrJoin(names, ", "),
                                          "; and the federations among them with +ENCODING"));
}

absl::StatusOr<RunManifest> ManifestOf(const Cell& cell, const Setting& setting, uint32_t sites,
                                       const std::string& tokenizer_sha256) {
  RunManifest manifest;
  manifest.set_protocol_version(kProtocolVersion);
  manifest.set_run_id("comparison");
  manifest.set_seed(setting.seed);
  *manifest.mutable_model() = ComparisonModel();
  manifest.set_tokenizer_sha256(tokenizer_sha256);
  const absl::StatusOr<ParameterLayout> layout = TransformerLayout(manifest.model());
  if (!layout.ok()) return layout.status();
  manifest.set_layout_digest(ToHex(layout->digest()));
  manifest.set_initial_consensus(ToHex(Digest{}));       // the harness gives it
  manifest.mutable_rounds()->set_sites_to_start(sites);  // presets count them
  absl::Status status = ApplyPreset(cell.preset, &manifest);
  if (!status.ok()) return status;
  if (manifest.consensus().preset() == "proximal") {
    // What the preset's values are chosen from, and what its cells stay when they change.
    manifest.mutable_consensus()->set_pull(0.5);
    manifest.mutable_consensus()->mutable_outer()->set_learning_rate(1);
  }
  *manifest.mutable_training() = ComparisonTraining(setting, setting.steps);
  manifest.mutable_encodings()->set_up(cell.encoding);
  manifest.mutable_encodings()->set_down(cell.encoding);
  manifest.set_license("Apache-2.0");
  RunManifest changes;
  status = ParseTextProto(cell.changes, cell.name, &changes);
  if (!status.ok()) return status;
  manifest.MergeFrom(changes);
  status = FillRounds(cell, setting, sites, &manifest);
  if (status.ok()) status = CheckManifest(manifest);
  if (!status.ok()) return status;
  return manifest;
}

std::string Describe(const Cell& cell, const RunManifest& manifest) {
  switch (cell.kind) {
    case Kind::kPooled:
      return "one trainer, each step a batch drawn from all sites in turn; as many tokens as all "
             "sites together, the same samples, in as many more steps as there are sites";
    case Kind::kAllReduce:
      return "data-parallel AdamW: each step takes the mean gradient of a batch from every site; "
             "the steps, tokens and samples of the federations";
    case Kind::kAlone:
      return "each site trains for itself, with the steps, tokens and samples it has in a "
             "federation";
    case Kind::kFederation:
      break;
  }
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string consensus, rounds, encodings;
  printer.PrintToString(manifest.consensus(), &consensus);
  printer.PrintToString(manifest.rounds(), &rounds);
  printer.PrintToString(manifest.encodings(), &encodings);
  return absl::StrCat("consensus { ", consensus, "} rounds { ", rounds, "} encodings { ", encodings,
                      "}");
}

}  // namespace weft::comparison
