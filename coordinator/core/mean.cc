#include "coordinator/core/mean.h"

#include <algorithm>

#include "kernels/vector_ops.h"
#include "proto/check.h"

namespace weft {

std::unique_ptr<Aggregator> Mean::Create(const Cohort& cohort) {
  std::vector<double> coefficients;
  double base = cohort.base_weight;
  for (size_t k = 0; k < cohort.weights.size(); ++k) {
    coefficients.push_back(cohort.weights[k] * cohort.scales[k]);
    base += cohort.weights[k] * (1 - cohort.scales[k]);
  }
  return std::make_unique<Mean>(std::move(coefficients), base);
}

void Mean::Combine(absl::Span<const float> z, absl::Span<const absl::Span<const float>> vectors,
                   absl::Span<double> combined) const {
  WEFT_CHECK(vectors.size() == coefficients_.size() && z.size() == combined.size());
  std::fill(combined.begin(), combined.end(), 0.0);
  const auto add = [combined](double coefficient, absl::Span<const float> x) {
    WEFT_CHECK(x.size() == combined.size());
    if (coefficient == 0) return;
    kernels::AccumulateWeighted(coefficient, x.data(), combined.size(), combined.data());
  };
  for (size_t k = 0; k < vectors.size(); ++k) add(coefficients_[k], vectors[k]);
  add(base_coefficient_, z);
}

}  // namespace weft
