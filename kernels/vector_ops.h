// Passes over flat fp32 arrays. Every back end gives the same bytes: sums run in double over eight
// fixed lanes (element i goes to lane i % 8; lanes are added pairwise, (0+4)+(2+6) +
// ((1+5)+(3+7))), nothing is contracted.
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

namespace reference {
void AccumulateWeighted(double weight, const float* x, size_t n, double* sum);
double SquaredDistance(const float* x, const float* y, size_t n);
size_t FirstNotFinite(const float* x, size_t n);
void Scale(float factor, float* x, size_t n);
}  // namespace reference

}  // namespace weft::kernels

#endif  // WEFT_KERNELS_VECTOR_OPS_H_
