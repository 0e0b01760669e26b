// The specification of vector_ops.h: plain loops that every back end must match bit for bit.
#include <cmath>

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
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
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

}  // namespace weft::kernels::reference
