#include "coordinator/core/mean.h"

#include <algorithm>

#include "kernels/vector_ops.h"
#include "proto/check.h"

namespace weft {

std::unique_ptr<Aggregator> Mean::Create() { return std::make_unique<Mean>(); }

void Mean::Combine(absl::Span<const absl::Span<const float>> vectors,
                   absl::Span<const double> weights, absl::Span<double> combined) const {
  WEFT_CHECK(vectors.size() == weights.size());
  std::fill(combined.begin(), combined.end(), 0.0);
  for (size_t k = 0; k < vectors.size(); ++k) {
    WEFT_CHECK(vectors[k].size() == combined.size());
    kernels::AccumulateWeighted(weights[k], vectors[k].data(), combined.size(), combined.data());
  }
}

}  // namespace weft
