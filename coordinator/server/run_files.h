// Which files of a run are still needed, and where a round finds what its consensus is made of.
#ifndef WEFT_COORDINATOR_SERVER_RUN_FILES_H_
#define WEFT_COORDINATOR_SERVER_RUN_FILES_H_

#include <set>
#include <string>

#include "absl/status/status.h"
#include "coordinator/core/round_state.pb.h"
#include "coordinator/server/run_folder.h"
#include "proto/blob_directory.h"

namespace weft {

// Links late contributions, and those of a round that was given up, into the folder of the round
// that they count in: it holds everything that its consensus is made of.
absl::Status GatherContributions(const RunPaths& paths, const RoundRecord& record);

// What the state counts on. A folder of contributions is needed as a whole.
struct NeededFiles {
  std::set<std::string> vectors;  // digests, bytes: in the folder of blobs
  std::set<std::string> folders;  // of contributions
};
NeededFiles FindNeededFiles(const RunPaths& paths, const RoundState& state);

// Removes consensus versions and contributions that neither the state nor a release to come names.
// Not while an outer step runs: its results are not in the state yet.
void RemoveUnneededFiles(const RunPaths& paths, const BlobDirectory& vectors,
                         const RoundState& state, bool keep_contributions);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_RUN_FILES_H_
