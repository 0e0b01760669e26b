// The update of the consensus from the sites' combination, a block of coordinates at a time.
//
//   auto outer = *MakeOuterUpdate(manifest.consensus().outer());
//   outer->Step(z, combined, {momentum, second_moment}, absl::MakeSpan(next));
//
// `next` is in double and rounded once, by the caller.
//
// With the pseudo-gradient d = z - combined. A new optimizer is one file pair and one line in
// outer_optimizer.cc. Immutable: share freely. All state is in the arguments. (The manifest's
// message has the name OuterOptimizer.)
#ifndef WEFT_COORDINATOR_CORE_OUTER_OPTIMIZER_H_
#define WEFT_COORDINATOR_CORE_OUTER_OPTIMIZER_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "proto/run_manifest.pb.h"

namespace weft {

class OuterUpdate {
 public:
  virtual ~OuterUpdate() = default;
  // What the elements of each state vector are before the first step; the first of the vectors is
  // ConsensusVersion's momentum, the second its second moment. Empty: there is no state.
  virtual std::vector<float> initial_state() const = 0;
  // The state vectors, as many as initial_state() has, are read and replaced. `next` may not
  // overlap the inputs.
  virtual void Step(absl::Span<const float> z, absl::Span<const double> combined,
                    absl::Span<const absl::Span<float>> state, absl::Span<double> next) const = 0;
};

// By the manifest's name. InvalidArgument names the field that is out of range, or the names that
// are known.
absl::StatusOr<std::unique_ptr<OuterUpdate>> MakeOuterUpdate(const OuterOptimizer& config);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_OUTER_OPTIMIZER_H_
