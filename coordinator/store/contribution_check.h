// What can only be said of a contribution when all of it is there: its header fits what was signed,
// every value is finite, and it is not further from its base than the run allows. Streams, a block
// at a time.
//
//   absl::StatusOr<ContributionCheck> check = CheckContributionVector(path, expected, base_path,
//   norm_max); if (check->refusal.code() == Refusal::NONE) use check->update_norm
//
// A Status is our own disk's failure; a refusal is the contribution's. Any thread.
#ifndef WEFT_COORDINATOR_STORE_CONTRIBUTION_CHECK_H_
#define WEFT_COORDINATOR_STORE_CONTRIBUTION_CHECK_H_

#include <string>

#include "absl/status/statusor.h"
#include "model/parameters/parameter_codec.h"
#include "proto/coordinator.pb.h"

namespace weft {

struct ContributionCheck {
  Refusal refusal;  // NONE: it may be stored
  double update_norm = 0;
};

// `expected` is the header that this run's contributions carry; `norm_max` 0: no bound.
absl::StatusOr<ContributionCheck> CheckContributionVector(const std::string& path,
                                                          const VectorHeader& expected,
                                                          const std::string& base_path,
                                                          double norm_max);

}  // namespace weft

#endif  // WEFT_COORDINATOR_STORE_CONTRIBUTION_CHECK_H_
