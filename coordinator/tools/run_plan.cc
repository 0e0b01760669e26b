#include "coordinator/tools/run_plan.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/core/outer_optimizer.h"
#include "model/parameters/fragment_range.h"
#include "model/parameters/parameter_codec.h"
#include "nlohmann/json.hpp"
#include "ops/manifest.h"
#include "proto/durable_file.h"
#include "proto/round_schedule.h"
#include "proto/signed_statement.h"
#include "proto/text_file.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

// RocksDB makes room for its log ahead (70 MiB) and may hold an old one beside it; its tables of
// small records are below that.
constexpr uint64_t kStateBytes = uint64_t{256} << 20;
// A release's files besides the model: the tokenizer's, the card, a line a round.
constexpr uint64_t kReleaseFilesBytes = uint64_t{16} << 20;
// What a gate writes down for each message that leaves.
constexpr uint64_t kLedgerEntryBytes = 512;

double Hours(uint64_t bytes, double mbit) {
  return static_cast<double>(bytes) * 8 / (mbit * 1e6) / 3600;
}

uint64_t EncodedBytesOf(const RunManifest& manifest, const std::string& name, uint64_t parameters) {
  const absl::StatusOr<VectorFormat> format =
      FormatFromName(name, manifest.encodings().topk_density());
  return EncodedBytes(format.ok() ? *format : Encoding::kParametersFp32, parameters);
}

bool IsDeltaName(const std::string& name) {
  const absl::StatusOr<Encoding> encoding = EncodingFromName(name);
  return encoding.ok() && IsDelta(*encoding);
}

// Vectors that the outer optimizer carries from version to version.
uint64_t OuterStates(const RunManifest& manifest) {
  const absl::StatusOr<std::unique_ptr<OuterUpdate>> update =
      MakeOuterUpdate(manifest.consensus().outer());
  return update.ok() ? (*update)->initial_state().size() : 0;
}

// The most elements that travel in a round.
uint64_t ElementsOfRound(const RunManifest& manifest, uint64_t parameters) {
  const uint32_t count = FragmentCount(manifest.consensus());
  uint64_t most = 0;
  for (uint32_t f = 0; f < count; ++f) {
    most = std::max(most, RangeOfFragment(parameters, count, f).size);
  }
  return most;
}

// Works that a site does in the run; without a barrier every round is one of them.
uint64_t WorksOfSite(const RunManifest& manifest, uint64_t sites) {
  const uint64_t rounds = manifest.rounds().round_count();
  return IsAsynchronous(manifest.consensus()) ? (rounds + sites - 1) / sites : rounds;
}

uint64_t CoordinatorDisk(const RunManifest& manifest, const RunPlan& plan) {
  const uint64_t vector = plan.vector_bytes;
  const uint64_t outer_states =
      OuterStates(manifest) + (IsDeltaName(manifest.encodings().down()) ? 1 : 0);
  const uint64_t changes = IsDeltaName(manifest.encodings().down()) ? 2 * plan.down_bytes : 0;
  // The base and the next version while an outer step writes it, one more that a release waits
  // with; each outer state old and new.
  uint64_t blobs = (3 + 2 * outer_states) * vector + changes;
  // A round's contributions, and as many on their way in.
  uint64_t contributions = 2 * plan.options.sites * plan.up_bytes;
  const RoundRules& rounds = manifest.rounds();
  // The last version that was found good, beside one that waits to be judged.
  if (rounds.evaluation_seconds_max() > 0) {
    blobs += (1 + outer_states) * vector + changes / 2;
  }
  if (rounds.late() == "carry") {  // older bases, and what is carried to the next round
    blobs += (1 + std::max(1u, rounds.late_staleness_max())) * vector;
    contributions += plan.options.sites * plan.up_bytes;
  }
  if (FragmentCount(manifest.consensus()) > 1) blobs += vector;  // put together for a release
  uint64_t kept = 0;
  if (plan.options.keep_contributions) {
    kept = manifest.rounds().round_count() *
           (plan.options.sites * plan.up_bytes + (1 + outer_states) * vector);
  }
  return blobs + contributions + kept + plan.release_count * (vector + kReleaseFilesBytes) +
         kStateBytes;
}

uint64_t GateDisk(const RunManifest& manifest, const RunPlan& plan) {
  // Base and next base, what is being fetched, the site's vector old and new; the encoded
  // contribution; the ledger of all rounds.
  const uint64_t entries = manifest.rounds().round_count() *
                           (ChunkCount(plan.up_bytes) + ChunkCount(plan.down_bytes) / 16 + 16);
  // Error feedback, or a dual with what was sent and what the pull goes to: old and new of each.
  const uint64_t states = manifest.consensus().dual()              ? 6
                          : IsDeltaName(manifest.encodings().up()) ? 2
                                                                   : 0;
  return (5 + states) * plan.vector_bytes + plan.up_bytes + entries * kLedgerEntryBytes;
}

std::string Size(uint64_t bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return absl::StrFormat(unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

std::string Time(double hours) {
  return hours >= 1 ? absl::StrFormat("%.1f h", hours) : absl::StrFormat("%.1f min", hours * 60);
}

std::vector<std::string> Assumptions(const RunManifest& manifest, const RunPlan& plan) {
  const PlanOptions& o = plan.options;
  return {
      absl::StrCat("every one of ", o.sites, " sites contributes in every round, and all at once"),
      absl::StrCat("a site gets ", o.mbit_up, " Mbit/s up and ", o.mbit_down,
                   " down, the coordinator ", o.coordinator_mbit_up, " up and ",
                   o.coordinator_mbit_down, " down, shared by the sites; 1 Mbit = 10^6 bits"),
      "a site that missed a version fetches the next one whole; repeated chunks, and TLS's own "
      "bytes (about 0.2 %), are not counted",
      o.seconds_per_step > 0 ? absl::StrCat("a step takes the slowest site ", o.seconds_per_step,
                                            " s, ", plan.steps_per_round, " a round")
                             : "training takes no time: give --seconds-per-step",
      absl::StrCat("a release takes a vector and ", Size(kReleaseFilesBytes), ", the state ",
                   Size(kStateBytes)),
      o.keep_contributions ? "contributions and bases of all rounds are kept"
                           : "contributions are removed once their consensus is decided",
      "a worker's checkpoints, its data and its logs come on top of the gate's disk"};
}

}  // namespace

RunPlan MakeRunPlan(const RunManifest& manifest, uint64_t parameters, const PlanOptions& options) {
  const RoundRules& rounds = manifest.rounds();
  RunPlan plan;
  plan.options = options;
  if (plan.options.sites == 0) plan.options.sites = std::max(1u, rounds.sites_to_start());
  const uint64_t sites = plan.options.sites;
  plan.parameters = parameters;
  plan.vector_bytes = EncodedBytes(Encoding::kParametersFp32, parameters);
  const uint64_t elements = ElementsOfRound(manifest, parameters);
  plan.up_bytes = EncodedBytesOf(manifest, manifest.encodings().up(), elements);
  plan.down_bytes = EncodedBytesOf(manifest, manifest.encodings().down(), elements);
  plan.first_down_bytes = plan.vector_bytes;

  plan.up_hours = std::max(Hours(plan.up_bytes, options.mbit_up),
                           Hours(sites * plan.up_bytes, options.coordinator_mbit_down));
  const auto down_hours = [&](uint64_t bytes) {
    return std::max(Hours(bytes, options.mbit_down),
                    Hours(sites * bytes, options.coordinator_mbit_up));
  };
  plan.down_hours = down_hours(plan.down_bytes);
  const uint64_t works = std::max<uint64_t>(1, WorksOfSite(manifest, sites));
  plan.steps_per_round = TotalSteps(manifest) / std::max<uint64_t>(1, works);
  plan.training_hours = options.seconds_per_step * plan.steps_per_round / 3600;
  plan.round_hours = plan.down_hours + plan.training_hours + plan.up_hours;

  plan.site_up_bytes = works * plan.up_bytes;
  plan.site_down_bytes = plan.first_down_bytes + works * plan.down_bytes;
  plan.coordinator_in_bytes = sites * plan.site_up_bytes;
  plan.coordinator_out_bytes = sites * plan.site_down_bytes;
  plan.run_hours = down_hours(plan.first_down_bytes) + works * plan.round_hours;
  const uint32_t every = std::max(1u, rounds.publish_every());
  plan.release_count = 1 + (rounds.round_count() + every - 1) / every;
  plan.coordinator_disk_bytes = CoordinatorDisk(manifest, plan);
  plan.gate_disk_bytes = GateDisk(manifest, plan);

  const double allowed = rounds.round_seconds_max() / 3600.0;
  if (plan.round_hours > allowed) {
    plan.warnings.push_back(absl::StrCat(
        "a round takes ", Time(plan.round_hours), " and the manifest allows ", Time(allowed),
        " (rounds.round_seconds_max): raise it, or make less travel (encodings, inner_steps)"));
  }
  return plan;
}

std::string PrintRunPlan(const RunManifest& manifest, const RunPlan& plan, bool as_json) {
  const std::vector<std::string> assumptions = Assumptions(manifest, plan);
  if (as_json) {
    const nlohmann::ordered_json json = {
        {"run_id", manifest.run_id()},
        {"sites", plan.options.sites},
        {"rounds", manifest.rounds().round_count()},
        {"parameters", plan.parameters},
        {"vector_bytes", plan.vector_bytes},
        {"site_round_up_bytes", plan.up_bytes},
        {"site_round_down_bytes", plan.down_bytes},
        {"site_first_down_bytes", plan.first_down_bytes},
        {"site_run_up_bytes", plan.site_up_bytes},
        {"site_run_down_bytes", plan.site_down_bytes},
        {"coordinator_run_in_bytes", plan.coordinator_in_bytes},
        {"coordinator_run_out_bytes", plan.coordinator_out_bytes},
        {"round_up_hours", plan.up_hours},
        {"round_down_hours", plan.down_hours},
        {"round_training_hours", plan.training_hours},
        {"round_hours", plan.round_hours},
        {"run_hours", plan.run_hours},
        {"releases", plan.release_count},
        {"coordinator_disk_bound_bytes", plan.coordinator_disk_bytes},
        {"gate_disk_bound_bytes", plan.gate_disk_bytes},
        {"warnings", plan.warnings},
        {"assumptions", assumptions}};
    return json.dump(2) + "\n";
  }
  std::string text = absl::StrCat(
      "run ", manifest.run_id(), ": ", plan.parameters, " parameters, ", plan.options.sites,
      " sites, ", manifest.rounds().round_count(), " rounds of ", plan.steps_per_round,
      " steps\n\na site, a round\n  up        ", Size(plan.up_bytes), " (",
      manifest.encodings().up(), "), ", Time(plan.up_hours), "\n  down      ",
      Size(plan.down_bytes), " (", manifest.encodings().down(), "), ", Time(plan.down_hours),
      "\n  training  ", Time(plan.training_hours), "\n  together  ", Time(plan.round_hours),
      "\n\na site, the run\n  up        ", Size(plan.site_up_bytes), "\n  down      ",
      Size(plan.site_down_bytes), ", of it ", Size(plan.first_down_bytes),
      " to begin with\n  disk      at most ", Size(plan.gate_disk_bytes),
      " at the gate\n\nthe coordinator, the run\n  in        ", Size(plan.coordinator_in_bytes),
      "\n  out       ", Size(plan.coordinator_out_bytes), "\n  disk      at most ",
      Size(plan.coordinator_disk_bytes), ", with ", plan.release_count, " releases\n  time      ",
      Time(plan.run_hours), "\n\nassumed\n");
  for (const std::string& assumption : assumptions) {
    absl::StrAppend(&text, "  - ", assumption, "\n");
  }
  for (const std::string& warning : plan.warnings)
    absl::StrAppend(&text, "WARNING: ", warning, "\n");
  return text;
}

absl::StatusOr<RunManifest> ReadManifestToPlan(const std::string& path) {
  absl::StatusOr<std::string> text = ReadWholeFile(path, uint64_t{16} << 20);
  if (!text.ok()) return text.status();
  if (absl::StartsWith(*text, "{")) {
    const absl::StatusOr<SignedStatement> statement = ParseSignedStatement(*text, path);
    if (!statement.ok()) return statement.status();
    text = statement->payload;
  }
  RunManifest manifest;
  absl::Status status = ParseTextProto(*text, path, &manifest);
  if (status.ok()) status = CheckManifest(manifest);
  if (!status.ok()) return status;
  return manifest;
}

uint64_t DiskUsedBytes(const std::string& folder) {
  uint64_t bytes = 0;
  std::set<std::pair<uint64_t, uint64_t>> seen;
  std::error_code error;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    struct stat info;
    if (lstat(at->path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (!seen.insert({info.st_dev, info.st_ino}).second) continue;
    bytes += static_cast<uint64_t>(info.st_blocks) * 512;
  }
  return bytes;
}

}  // namespace weft
