// Passes over flat arrays. Every back end gives the same bytes: sums run in double over eight fixed
// lanes (element i goes to lane i % 8; lanes are added pairwise, (0+4)+(2+6) + ((1+5)+(3+7))),
// nothing is contracted.
#ifndef WEFT_KERNELS_VECTOR_OPS_H_
#define WEFT_KERNELS_VECTOR_OPS_H_

#include <cstddef>
#include <cstdint>

namespace weft::kernels {

// sum[i] += weight * x[i], in double.
void AccumulateWeighted(double weight, const float* x, size_t n, double* sum);
// sum_i (x[i] - y[i])^2 in double; y may be null (zeros).
double SquaredDistance(const float* x, const float* y, size_t n);
// Index of the first infinity or NaN; n when all are finite.
size_t FirstNotFinite(const float* x, size_t n);
// x[i] *= factor.
void Scale(float factor, float* x, size_t n);
// difference[i] = x[i] - y[i], in double.
void Difference(const float* x, const float* y, size_t n, double* difference);
// lane[i % 8] += x[i] * y[i], for a sum that goes on over several calls: its bytes do not depend on
// where the calls divide it, as long as each but the last has a multiple of eight elements.
void AccumulateDot(const double* x, const double* y, size_t n, double* lane);
// The sum whose eight lanes these are.
inline double SumOfLanes(const double* lane) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}
// Of each pair low[i], high[i] the smaller to low and the greater to high. Equal ones, -0 and 0
// among them, stay where they are. No NaN.
void CompareExchange(double* low, double* high, size_t n);

namespace reference {
void AccumulateWeighted(double weight, const float* x, size_t n, double* sum);
double SquaredDistance(const float* x, const float* y, size_t n);
size_t FirstNotFinite(const float* x, size_t n);
void Scale(float factor, float* x, size_t n);
void Difference(const float* x, const float* y, size_t n, double* difference);
void AccumulateDot(const double* x, const double* y, size_t n, double* lane);
void CompareExchange(double* low, double* high, size_t n);
}  // namespace reference

}  // namespace weft::kernels

#endif  // WEFT_KERNELS_VECTOR_OPS_H_
