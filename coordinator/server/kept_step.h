// What is kept of a round for auditors: the base, its outer state and every other blob that its
// outer step read, beside the kept contributions. The blobs are links: they take room only once
// the server needs them no more.
//
//   DIR/kept/round-000003/outer_step.textproto      KeptStep: what went in, what came out
//   DIR/kept/round-000003/<digest>                  base, momentum, residual
#ifndef WEFT_COORDINATOR_SERVER_KEPT_STEP_H_
#define WEFT_COORDINATOR_SERVER_KEPT_STEP_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/server/kept_step.pb.h"
#include "coordinator/server/run_folder.h"
#include "proto/blob_directory.h"

namespace weft {

KeptStep MakeKeptStep(const ConsensusVersion& base, const RoundRecord& record,
                      const ConsensusVersion& result);
// Before the state takes `step.result`: afterwards the base may go.
absl::Status KeepStep(const RunPaths& paths, const BlobDirectory& vectors, const KeptStep& step);
absl::StatusOr<KeptStep> ReadKeptStep(const std::string& folder);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_KEPT_STEP_H_
