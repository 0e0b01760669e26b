// The outer step: from a base, its outer state and the round's contributions to the next consensus
// version, block by block, so that memory is a few blocks and not models. Nothing but its inputs
// goes in: run again after a crash, it gives the same bytes.
//
//   combined = Combine(x_1 .. x_K; p)        decoded site vectors in site order, in double
//   target   = OuterOptimizer(z, combined) + residual
//   z'       = fp32(target), or with an encoded way down: decoded(encoded(target - z)), residual' =
//   target - z'
//
//   absl::StatusOr<ConsensusVersion> next = ComputeOuterStep(options, base, record);
#ifndef WEFT_COORDINATOR_SERVER_OUTER_STEP_H_
#define WEFT_COORDINATOR_SERVER_OUTER_STEP_H_

#include "absl/status/statusor.h"
#include "coordinator/core/aggregator.h"
#include "coordinator/core/outer_optimizer.h"
#include "coordinator/core/round_state.pb.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_directory.h"

namespace weft {

struct OuterStepOptions {
  const Aggregator* aggregator = nullptr;
  const OuterUpdate* update = nullptr;
  Encoding down = Encoding::kParametersFp32;
  const BlobDirectory* vectors =
      nullptr;  // consensus versions and outer state; the results go there
  const BlobDirectory* contributions = nullptr;
};

// `record.contributions` are the included ones with their weights, in site order. One whose
// base_digest names an older base counts as its change since then, from today's base.
// InvalidArgument when the numbers leave fp32 (the same inputs would do so again); DataLoss when an
// input is no longer what its name says; any other error is of this machine's disk and may pass.
absl::StatusOr<ConsensusVersion> ComputeOuterStep(const OuterStepOptions& options,
                                                  const ConsensusVersion& base,
                                                  const RoundRecord& record);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_OUTER_STEP_H_
