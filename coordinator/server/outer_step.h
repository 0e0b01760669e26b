// The outer step: from a base, its outer state and the round's contributions to the next consensus
// version, block by block, so that memory is a few blocks and not models. Nothing but its inputs
// goes in: run again after a crash, it gives the same bytes.
//
//   combined = z + Combine(d_1 .. d_K; p)    d_k = scale_k (x_k - z), in site order, in double
//   target   = OuterOptimizer(z, combined) + residual
//   z'       = fp32(target), or with an encoded way down: decoded(encoded(target - z)), residual' =
//   target - z'
//
//   absl::StatusOr<OuterStepResult> step = ComputeOuterStep(options, base, record);
//
// Rules that look at whole changes (Krum, the geometric median, clipping) read the contributions
// twice: for the inner products of all pairs, then to combine.
#ifndef WEFT_COORDINATOR_SERVER_OUTER_STEP_H_
#define WEFT_COORDINATOR_SERVER_OUTER_STEP_H_

#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/round_state.pb.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_directory.h"

namespace weft {

struct OuterStepOptions {
  ConsensusScheme scheme;  // combine and what belongs to it, outer, asynchrony
  VectorFormat down = Encoding::kParametersFp32;
  const BlobDirectory* vectors =
      nullptr;  // consensus versions and outer state; the results go there
  const BlobDirectory* contributions = nullptr;
};

struct OuterStepResult {
  ConsensusVersion next;
  // Of each contribution's change with the mean of them, by the weights of the record.
  std::vector<double> cosines;
  double step_norm = 0;  // ||z' - z||
};

// `record.contributions` are the included ones with their weights and scales, in site order. One
// whose base_digest names an older base counts as its change since then, from today's base; with
// asynchrony "elastic" as the vector that it is.
// InvalidArgument when the numbers leave fp32, or when there are too few contributions for the rule
// (the same inputs would fail again); DataLoss when an input is no longer what its name says; any
// other error is of this machine's disk and may pass.
absl::StatusOr<OuterStepResult> ComputeOuterStep(const OuterStepOptions& options,
                                                 const ConsensusVersion& base,
                                                 const RoundRecord& record);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_OUTER_STEP_H_
