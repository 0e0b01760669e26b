// The specification of vector_ops.h: plain loops that every back end must match bit for bit.
#include <cmath>
#include <utility>

#include "kernels/vector_ops.h"

namespace weft::kernels::reference {

void AccumulateWeighted(double weight, const float* x, size_t n, double* sum) {
  for (size_t i = 0; i < n; ++i) sum[i] += weight * static_cast<double>(x[i]);
}

double SquaredDistance(const float* x, const float* y, size_t n) {
  double lane[8] = {};
  for (size_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(x[i]) - (y == nullptr ? 0.0 : static_cast<double>(y[i]));
    lane[i % 8] += d * d;
  }
  return SumOfLanes(lane);
}

size_t FirstNotFinite(const float* x, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return i;
  }
  return n;
}

void Scale(float factor, float* x, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] *= factor;
}

void Difference(const float* x, const float* y, size_t n, double* difference) {
  for (size_t i = 0; i < n; ++i) {
    difference[i] = static_cast<double>(x[i]) - static_cast<double>(y[i]);
  }
}

void AccumulateDot(const double* x, const double* y, size_t n, double* lane) {
  for (size_t i = 0; i < n; ++i) lane[i % 8] += x[i] * y[i];
}

void CompareExchange(double* low, double* high, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    if (high[i] < low[i]) std::swap(low[i], high[i]);
  }
}

}  // namespace weft::kernels::reference
