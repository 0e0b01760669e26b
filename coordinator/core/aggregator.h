// Combines the cohort's vectors into one, a block of coordinates at a time, so that memory is
// blocks and not models and a rule that looks at all sites per coordinate costs no more than the
// mean.
//
//   const CombinationRule* rule = *FindRule("krum");
//   ... if (rule->needs_products) a first pass over the blocks gathers `products`
//   std::unique_ptr<Aggregator> krum = *MakeAggregator(scheme, cohort, products);
//   krum->Combine(block_of_z, {block_of_site_a, block_of_site_b}, absl::MakeSpan(combined));
//
// What is combined are the changes d_k = scale_k (x_k - z); combined = z + their combination, in
// double. Inputs arrive in site-name order and sums run in a fixed order, so the result has the
// same bytes everywhere. A new rule is one file pair and one line in aggregator.cc. Immutable once
// made: share freely.
#ifndef WEFT_COORDINATOR_CORE_AGGREGATOR_H_
#define WEFT_COORDINATOR_CORE_AGGREGATOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "coordinator/core/change_products.h"
#include "coordinator/core/round_state.pb.h"

namespace weft {

// What is known of the contributions besides their numbers, in the order of the vectors.
struct Cohort {
  std::vector<double> weights;  // with base_weight they sum to 1
  std::vector<double> scales;   // of the changes; 1: as they are
  double base_weight = 0;       // z itself counts so much
};
Cohort CohortOf(const RoundRecord& record);

class Aggregator {
 public:
  virtual ~Aggregator() = default;
  // `z`, `vectors[k]` and `combined` cover the same coordinates.
  virtual void Combine(absl::Span<const float> z, absl::Span<const absl::Span<const float>> vectors,
                       absl::Span<double> combined) const = 0;
};

struct CombinationRule {
  absl::string_view name;
  bool weighted;        // false: all count the same, whatever the weights say
  bool needs_products;  // of all pairs of changes: one more reading of the contributions
  bool bounds_faulty;   // takes faulty_max
  uint64_t (*contributions_min)(uint64_t faulty_max);
  // `products` is of the cohort's changes, null unless they are needed.
  std::unique_ptr<Aggregator> (*create)(const ConsensusScheme& scheme, const Cohort& cohort,
                                        const ChangeProducts* products);
};

// By the manifest's name. InvalidArgument lists the names that are known.
absl::StatusOr<const CombinationRule*> FindRule(absl::string_view name);

// The scheme's rule for one round. InvalidArgument also when the cohort is too small for it.
absl::StatusOr<std::unique_ptr<Aggregator>> MakeAggregator(const ConsensusScheme& scheme,
                                                           const Cohort& cohort,
                                                           const ChangeProducts* products);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_AGGREGATOR_H_
