// How far a score would move on other text of the same kind: a 95 % confidence interval of a ratio
// of sums, such as nats per byte.
//
// Neighbouring windows of a text resemble each other, so a window is not an independent
// observation. They are grouped into at most 32 batches of consecutive windows, and the batches are
// taken as independent (the method of batch means; Law, Simulation Modeling and Analysis, 5th ed.,
// section 9.5.3: 20 to 30 batches). The ratio's standard error is that of its linearisation
// (Cochran, Sampling Techniques, 3rd ed., equation 2.46):
//
//   R = sum y / sum x
//   se^2 = B / (B - 1) * sum_b (y_b - R x_b)^2 / (sum x)^2
//   R +- t(0.975, B - 1) se
//
// The method draws nothing, so the same scores always give the same interval, which a bootstrap
// gives only by its seed.
//
//   RatioEstimate bits = EstimateRatio(terms);
//   if (bits.interval) Print(bits.interval->low, bits.interval->high);
//
// Pure functions.
#ifndef WEFT_EVAL_INTERVAL_H_
#define WEFT_EVAL_INTERVAL_H_

#include <optional>
#include <vector>

#include "absl/types/span.h"

namespace weft {

// One observation: a numerator, such as a window's nats, and a denominator, such as its bytes.
struct RatioTerm {
  double numerator = 0;
  double denominator = 0;
};

struct Interval {
  double low = 0;
  double high = 0;
};

struct RatioEstimate {
  double ratio = 0;
  // Nothing where there are fewer than two terms: one observation does not tell how much it varies.
  std::optional<double> standard_error;
  std::optional<Interval> interval;
};

inline constexpr int kBatchesMax = 32;

// Terms in the order of the text. Requires a positive sum of denominators.
RatioEstimate EstimateRatio(absl::Span<const RatioTerm> terms);

// The ratio over several texts together. The texts are fixed: what differs between them is no
// chance, so each text is a stratum and only the variation inside texts counts. Texts of a single
// term form one stratum together.
RatioEstimate EstimatePooledRatio(absl::Span<const std::vector<RatioTerm>> texts);

// The 0.975 quantile of Student's t distribution. Requires degrees >= 1; fractions are rounded
// down.
double StudentQuantile(double degrees);

}  // namespace weft

#endif  // WEFT_EVAL_INTERVAL_H_
