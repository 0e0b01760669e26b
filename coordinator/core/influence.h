// How much each site counts. Weights are policy: they come from the signed membership, not from
// what a site says of itself, and are published with every round.
//
//   NormalizedWeights({0, 0})    -> {0.5, 0.5}      no weights: every site counts the same
//   NormalizedWeights({3, 1})    -> {0.75, 0.25}
//   CapWeights({0.7, 0.2, 0.1}, 0.5)    -> {0.5, 0.333, 0.167}
//
// Pure.
#ifndef WEFT_COORDINATOR_CORE_INFLUENCE_H_
#define WEFT_COORDINATOR_CORE_INFLUENCE_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "proto/run_manifest.pb.h"

namespace weft {

// Sums to 1 (up to rounding). InvalidArgument on a weight that is negative or not finite, on a
// mixture of zeros and weights (who gave weights meant all of them), or on no site at all.
absl::StatusOr<std::vector<double>> NormalizedWeights(absl::Span<const double> weights);

// No weight above cap = max(influence_max, 1/n), by water-filling: what is above the cap is fixed
// at it, the others share the rest in proportion, and this is repeated. Requires weights above 0
// that sum to 1; 0: no cap.
std::vector<double> CapWeights(std::vector<double> weights, double influence_max);

// That every subset of the membership that may form a round can be weighted.
absl::Status CheckMemberWeights(const Membership& membership);

// That both name the same sites with the same weights; revoked ones count among them.
bool HasSameParts(const Membership& before, const Membership& after);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_INFLUENCE_H_
