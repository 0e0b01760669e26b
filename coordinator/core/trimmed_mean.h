// The coordinate-wise trimmed mean (Yin et al. 2018, definition 2): in each coordinate the b
// smallest and the b greatest values are dropped, and the rest averaged, summed from the smallest
// up, so that the order of the sites does not matter at all. Requires more than 2b contributions.
// Immutable.
#ifndef WEFT_COORDINATOR_CORE_TRIMMED_MEAN_H_
#define WEFT_COORDINATOR_CORE_TRIMMED_MEAN_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "coordinator/core/aggregator.h"

namespace weft {

class TrimmedMean : public Aggregator {
 public:
  static std::unique_ptr<Aggregator> Create(uint32_t trimmed, std::vector<double> scales);
  TrimmedMean(uint32_t trimmed, std::vector<double> scales)
      : trimmed_(trimmed), scales_(std::move(scales)) {}
  void Combine(absl::Span<const float> z, absl::Span<const absl::Span<const float>> vectors,
               absl::Span<double> combined) const override;

 private:
  uint32_t trimmed_;  // b
  std::vector<double> scales_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_TRIMMED_MEAN_H_
