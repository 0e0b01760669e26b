// What a run will cost before it starts: bytes on every link, disk at every end, hours of transfer.
// Worked out from the manifest alone; what is assumed is printed with it.
//
//   const RunPlan plan = MakeRunPlan(manifest, element_count, {.sites = 4, .mbit_up = 20});
//   std::cout << PrintRunPlan(manifest, plan, /*as_json=*/false);
#ifndef WEFT_COORDINATOR_TOOLS_RUN_PLAN_H_
#define WEFT_COORDINATOR_TOOLS_RUN_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/run_manifest.pb.h"

namespace weft {

struct PlanOptions {
  uint32_t sites = 0;  // 0: those that the run waits for at its start
  // Megabits (10^6) a second that a transfer really gets.
  double mbit_up = 20;
  double mbit_down = 100;
  double coordinator_mbit_up = 1000;
  double coordinator_mbit_down = 1000;
  double seconds_per_step = 0;  // of the slowest site; 0: training is left out
  bool keep_contributions = false;
};

struct RunPlan {
  PlanOptions options;
  uint64_t parameters = 0;
  uint64_t vector_bytes = 0;  // a consensus as parameters_fp32
  // Of one site in one round.
  uint64_t up_bytes = 0;
  uint64_t down_bytes = 0;
  uint64_t first_down_bytes = 0;  // version 0, which every site fetches whole
  double up_hours = 0;
  double down_hours = 0;
  uint64_t steps_per_round = 0;  // of a site, in the mean over the run
  double training_hours = 0;
  double round_hours = 0;
  // Of the whole run.
  uint64_t site_up_bytes = 0;
  uint64_t site_down_bytes = 0;
  uint64_t coordinator_in_bytes = 0;
  uint64_t coordinator_out_bytes = 0;
  double run_hours = 0;
  uint64_t release_count = 0;
  // The most that is on the disk at any time of the run.
  uint64_t coordinator_disk_bytes = 0;
  uint64_t gate_disk_bytes = 0;
  std::vector<std::string> warnings;
};

RunPlan MakeRunPlan(const RunManifest& manifest, uint64_t parameters, const PlanOptions& options);
std::string PrintRunPlan(const RunManifest& manifest, const RunPlan& plan, bool as_json);

// A manifest in text format, or signed: its signatures are not looked at, as nothing is run by it.
absl::StatusOr<RunManifest> ReadManifestToPlan(const std::string& path);

// What a folder takes on its disk: blocks that are allocated, a file with several names once.
uint64_t DiskUsedBytes(const std::string& folder);

}  // namespace weft

#endif  // WEFT_COORDINATOR_TOOLS_RUN_PLAN_H_
