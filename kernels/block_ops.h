// What a transformer block computes between its matrix products, forward and backward, over rows of
// fp32: RMSNorm, head normalisation with RoPE, SwiGLU, and cross-entropy. Each is one pass where a
// tensor library needs three to fifteen.
//
//   RmsNorm(x, weight, rows, width, 1e-6f, y, inverse);
//   RmsNormBackward(x, weight, inverse, dy, rows, width, dx, dweight);
//
// These serve the inner loop of one site: unlike the other kernels of this folder their back ends
// agree within rounding, not bit for bit (lanes are summed as the CPU has them, exp is a
// polynomial). One machine repeats its bits. Pure; arrays do not overlap unless it is said.
#ifndef WEFT_KERNELS_BLOCK_OPS_H_
#define WEFT_KERNELS_BLOCK_OPS_H_

#include <cstddef>
#include <cstdint>

namespace weft::kernels {

// y = x * inverse * weight by rows, inverse[row] = 1 / sqrt(mean(x^2) + epsilon) (Zhang and
// Sennrich 2019, equation 4).
void RmsNorm(const float* x, const float* weight, size_t rows, size_t width, float epsilon,
             float* y, float* inverse);
// Sets dx, adds to dweight[width].
void RmsNormBackward(const float* x, const float* weight, const float* inverse, const float* dy,
                     size_t rows, size_t width, float* dx, float* dweight);

// The heads of one token lie side by side: queries, keys, values, each `width` numbers.
struct HeadLayout {
  size_t query_heads = 0;
  size_t key_heads = 0;  // as many value heads follow
  size_t width = 0;      // even
  float epsilon = 0;

  size_t rotated() const { return query_heads + key_heads; }
  size_t all() const { return query_heads + 2 * key_heads; }
};

// Queries and keys: normalised by head with q_weight and k_weight [width] (null: not at all), then
// turned by their token's angles in the half-split form; values: copied. cosine, sine: [tokens,
// width / 2]; x, y: [tokens, all(), width]; inverse: [tokens, rotated()], written when there are
// weights.
void NormAndRotate(const float* x, const float* q_weight, const float* k_weight,
                   const float* cosine, const float* sine, size_t tokens, const HeadLayout& layout,
                   float* y, float* inverse);
// Sets dx, adds to dq_weight and dk_weight (null without weights).
void NormAndRotateBackward(const float* x, const float* q_weight, const float* k_weight,
                           const float* inverse, const float* cosine, const float* sine,
                           const float* dy, size_t tokens, const HeadLayout& layout, float* dx,
                           float* dq_weight, float* dk_weight);

// gate_up [rows, 2 width], y [rows, width]: y = silu(first half) * second half (Shazeer 2020,
// equation 6).
void SwiGlu(const float* gate_up, size_t rows, size_t width, float* y);
void SwiGluBackward(const float* gate_up, const float* dy, size_t rows, size_t width,
                    float* dgate_up);

// Returns the sum over rows of -log softmax(logits [rows, width])[target], and replaces the logits
// by `scale` times the gradient of that sum. Requires 0 <= target < width.
double CrossEntropy(float* logits, const int64_t* targets, size_t rows, size_t width, float scale);

namespace reference {
void RmsNorm(const float* x, const float* weight, size_t rows, size_t width, float epsilon,
             float* y, float* inverse);
void RmsNormBackward(const float* x, const float* weight, const float* inverse, const float* dy,
                     size_t rows, size_t width, float* dx, float* dweight);
void NormAndRotate(const float* x, const float* q_weight, const float* k_weight,
                   const float* cosine, const float* sine, size_t tokens, const HeadLayout& layout,
                   float* y, float* inverse);
void NormAndRotateBackward(const float* x, const float* q_weight, const float* k_weight,
                           const float* inverse, const float* cosine, const float* sine,
                           const float* dy, size_t tokens, const HeadLayout& layout, float* dx,
                           float* dq_weight, float* dk_weight);
void SwiGlu(const float* gate_up, size_t rows, size_t width, float* y);
void SwiGluBackward(const float* gate_up, const float* dy, size_t rows, size_t width,
                    float* dgate_up);
double CrossEntropy(float* logits, const int64_t* targets, size_t rows, size_t width, float scale);
}  // namespace reference

}  // namespace weft::kernels

#endif  // WEFT_KERNELS_BLOCK_OPS_H_
