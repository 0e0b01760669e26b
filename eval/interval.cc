#include "eval/interval.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "proto/check.h"

namespace weft {
namespace {

// 0.975 quantiles of Student's t for 1 .. 31 degrees of freedom (computed with mpmath's betainc, 6
// decimals).
constexpr double kStudent[] = {
    12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004,
    2.262157,  2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131449, 2.119905,
    2.109816,  2.100922, 2.093024, 2.085963, 2.079614, 2.073873, 2.068658, 2.063899,
    2.059539,  2.055529, 2.051830, 2.048407, 2.045230, 2.042273, 2.039513};

RatioTerm Sum(absl::Span<const RatioTerm> terms) {
  RatioTerm sum;
  for (const RatioTerm& term : terms) {
    sum.numerator += term.numerator;
    sum.denominator += term.denominator;
  }
  return sum;
}

// At most kBatchesMax batches of consecutive terms, whose sizes differ by at most one.
std::vector<RatioTerm> Batches(absl::Span<const RatioTerm> terms) {
  const size_t count = std::min<size_t>(terms.size(), kBatchesMax);
  std::vector<RatioTerm> batches;
  for (size_t b = 0; b < count; ++b) {
    const size_t begin = terms.size() * b / count;
    const size_t end = terms.size() * (b + 1) / count;
    batches.push_back(Sum(terms.subspan(begin, end - begin)));
  }
  return batches;
}

// Variance of a stratum's residual total, sum_b (y_b - R x_b), R being the stratum's own ratio.
double ResidualVariance(absl::Span<const RatioTerm> batches) {
  const RatioTerm sum = Sum(batches);
  const double ratio = sum.numerator / sum.denominator;
  double squares = 0;
  for (const RatioTerm& batch : batches) {
    const double residual = batch.numerator - ratio * batch.denominator;
    squares += residual * residual;
  }
  const auto count = static_cast<double>(batches.size());
  return count / (count - 1) * squares;
}

}  // namespace

double StudentQuantile(double degrees) {
  WEFT_CHECK(degrees >= 1);
  // A whole number of degrees may come out of a division a hair too small.
  const auto index = static_cast<size_t>(std::min(degrees * (1 + 1e-12), 1e9)) - 1;
  if (index < std::size(kStudent)) return kStudent[index];
  // Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5, two terms): right to 4 decimals from
  // here on.
  constexpr double z = 1.959964;
  constexpr double z3 = z * z * z;
  constexpr double z5 = z3 * z * z;
  return z + (z3 + z) / (4 * degrees) + (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees * degrees);
}

RatioEstimate EstimatePooledRatio(absl::Span<const std::vector<RatioTerm>> texts) {
  std::vector<std::vector<RatioTerm>> strata;
  std::vector<RatioTerm> singles;
  RatioTerm sum;
  for (const std::vector<RatioTerm>& terms : texts) {
    const RatioTerm text = Sum(terms);
    sum.numerator += text.numerator;
    sum.denominator += text.denominator;
    if (terms.size() == 1) singles.push_back(terms[0]);
    if (terms.size() > 1) strata.push_back(Batches(terms));
  }
  if (!singles.empty()) strata.push_back(Batches(singles));
  WEFT_CHECK(sum.denominator > 0);

  RatioEstimate estimate{.ratio = sum.numerator / sum.denominator};
  double variance = 0;
  double degrees_below =
      0;  // of Welch and Satterthwaite: variance^2 / sum (variance_s^2 / degrees_s)
  for (const std::vector<RatioTerm>& batches : strata) {
    if (batches.size() < 2) return estimate;
    const double own = ResidualVariance(batches);
    variance += own;
    degrees_below += own * own / static_cast<double>(batches.size() - 1);
  }
  const double standard_error = std::sqrt(variance) / sum.denominator;
  const double degrees = degrees_below > 0 ? variance * variance / degrees_below : 1;
  const double half = StudentQuantile(std::max(degrees, 1.0)) * standard_error;
  estimate.standard_error = standard_error;
  estimate.interval = Interval{estimate.ratio - half, estimate.ratio + half};
  return estimate;
}

RatioEstimate EstimateRatio(absl::Span<const RatioTerm> terms) {
  const std::vector<RatioTerm> text(terms.begin(), terms.end());
  return EstimatePooledRatio({text});
}

}  // namespace weft
