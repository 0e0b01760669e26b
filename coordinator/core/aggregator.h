// Combines the cohort's vectors into one, a block of coordinates at a time, so that memory is
// blocks and not models and a rule that looks at all sites per coordinate costs no more than the
// mean.
//
//   std::unique_ptr<Aggregator> mean = *MakeAggregator("mean");
//   mean->Combine({block_of_site_a, block_of_site_b}, {0.5, 0.5}, absl::MakeSpan(combined));
//
// Inputs arrive in site-name order and sums run in that order, in double, so the result has the
// same bytes everywhere. A new rule is one file pair and one line in aggregator.cc. Immutable:
// share freely.
#ifndef WEFT_COORDINATOR_CORE_AGGREGATOR_H_
#define WEFT_COORDINATOR_CORE_AGGREGATOR_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace weft {

class Aggregator {
 public:
  virtual ~Aggregator() = default;
  // `vectors[k]` and `combined` cover the same coordinates; `weights` sum to 1.
  virtual void Combine(absl::Span<const absl::Span<const float>> vectors,
                       absl::Span<const double> weights, absl::Span<double> combined) const = 0;
};

// By the manifest's name. InvalidArgument lists the names that are known.
absl::StatusOr<std::unique_ptr<Aggregator>> MakeAggregator(absl::string_view name);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_AGGREGATOR_H_
