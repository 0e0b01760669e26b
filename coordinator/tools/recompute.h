// Makes a round's consensus again from what was kept of the round, by the program that made it, and
// compares digests: what an auditor does with a copy of the directory.
//
//   absl::StatusOr<Recomputed> round = RecomputeRound("run", 3);      round->same()
//
// Needed: the contributions of the round, and its base with the outer state (serve
// --keep-contributions keeps both). Contributions are checked against their digests and against
// what each site signed. Only reads the directory.
#ifndef WEFT_COORDINATOR_TOOLS_RECOMPUTE_H_
#define WEFT_COORDINATOR_TOOLS_RECOMPUTE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/server/kept_step.pb.h"
#include "coordinator/server/run_folder.h"
#include "proto/blob_directory.h"

namespace weft {

struct Recomputed {
  uint64_t round = 0;
  std::vector<std::string> sites;
  std::string recorded;  // digest in hex, as the round's record names it
  std::string computed;
  std::vector<std::string> differences;  // of the outer state and the encoded change, in words
  bool same() const { return recorded == computed && differences.empty(); }
};

// FailedPrecondition naming everything that is missing or damaged. `scratch` empty: the system's.
absl::StatusOr<Recomputed> RecomputeRound(const std::string& folder, uint64_t round,
                                          const std::string& scratch = {});
std::string PrintRecomputed(const Recomputed& result, bool as_json);

// What of a round's inputs is not there, or damaged, one a line; empty: it can be recomputed.
std::vector<std::string> MissingInputs(const RunPaths& paths, const RoundRecord& record,
                                       const KeptStep& step);
// The outer step of a kept round once more; its vectors are written to `to`.
absl::StatusOr<ConsensusVersion> RepeatOuterStep(const RunPaths& paths, const RunManifest& manifest,
                                                 const KeptStep& step, const BlobDirectory& to);

}  // namespace weft

#endif  // WEFT_COORDINATOR_TOOLS_RECOMPUTE_H_
