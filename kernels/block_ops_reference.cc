// The specification of block_ops.h: plain loops, sums in double.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/block_ops.h"

namespace weft::kernels::reference {

void RmsNorm(const float* x, const float* weight, size_t rows, size_t width, float epsilon,
             float* y, float* inverse) {
  for (size_t r = 0; r < rows; ++r, x += width, y += width) {
    double squares = 0;
    for (size_t i = 0; i < width; ++i) squares += double{x[i]} * x[i];
    inverse[r] = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(width) + epsilon));
    for (size_t i = 0; i < width; ++i) y[i] = x[i] * inverse[r] * weight[i];
  }
}

// With n = x inverse and g = dy weight: dx = inverse (g - n mean(g n)), dweight = sum over rows of
// dy n.
void RmsNormBackward(const float* x, const float* weight, const float* inverse, const float* dy,
                     size_t rows, size_t width, float* dx, float* dweight) {
  for (size_t r = 0; r < rows; ++r, x += width, dy += width, dx += width) {
    double sum = 0;
    for (size_t i = 0; i < width; ++i) sum += double{dy[i]} * weight[i] * x[i] * inverse[r];
    const float mean = static_cast<float>(sum / static_cast<double>(width));
    for (size_t i = 0; i < width; ++i) {
      const float n = x[i] * inverse[r];
      dx[i] = inverse[r] * (dy[i] * weight[i] - n * mean);
      dweight[i] += dy[i] * n;
    }
  }
}

void NormAndRotate(const float* x, const float* q_weight, const float* k_weight,
                   const float* cosine, const float* sine, size_t tokens, const HeadLayout& layout,
                   float* y, float* inverse) {
  const size_t width = layout.width, half = width / 2;
  std::vector<float> normed(width);
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t h = 0; h < layout.all(); ++h, x += width, y += width) {
      std::copy(x, x + width, y);
      if (h >= layout.rotated()) continue;
      const float* weight = h < layout.query_heads ? q_weight : k_weight;
      std::copy(x, x + width, normed.begin());
      if (weight != nullptr) {
        RmsNorm(x, weight, 1, width, layout.epsilon, normed.data(),
                inverse + t * layout.rotated() + h);
      }
      for (size_t i = 0; i < half; ++i) {
        const float c = cosine[t * half + i], s = sine[t * half + i];
        y[i] = normed[i] * c - normed[half + i] * s;
        y[half + i] = normed[half + i] * c + normed[i] * s;
      }
    }
  }
}

void NormAndRotateBackward(const float* x, const float* q_weight, const float* k_weight,
                           const float* inverse, const float* cosine, const float* sine,
                           const float* dy, size_t tokens, const HeadLayout& layout, float* dx,
                           float* dq_weight, float* dk_weight) {
  const size_t width = layout.width, half = width / 2;
  std::vector<float> turned(width);
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t h = 0; h < layout.all(); ++h, x += width, dy += width, dx += width) {
      std::copy(dy, dy + width, dx);
      if (h >= layout.rotated()) continue;
      for (size_t i = 0; i < half; ++i) {  // the turn backwards
        const float c = cosine[t * half + i], s = sine[t * half + i];
        turned[i] = dy[i] * c + dy[half + i] * s;
        turned[half + i] = dy[half + i] * c - dy[i] * s;
      }
      const bool query = h < layout.query_heads;
      const float* weight = query ? q_weight : k_weight;
      if (weight == nullptr) {
        std::copy(turned.begin(), turned.end(), dx);
      } else {
        RmsNormBackward(x, weight, inverse + t * layout.rotated() + h, turned.data(), 1, width, dx,
                        query ? dq_weight : dk_weight);
      }
    }
  }
}

void SwiGlu(const float* gate_up, size_t rows, size_t width, float* y) {
  for (size_t r = 0; r < rows; ++r, gate_up += 2 * width, y += width) {
    for (size_t i = 0; i < width; ++i) {
      const float gate = gate_up[i];
      y[i] = gate / (1 + std::exp(-gate)) * gate_up[width + i];
    }
  }
}

void SwiGluBackward(const float* gate_up, const float* dy, size_t rows, size_t width,
                    float* dgate_up) {
  for (size_t r = 0; r < rows; ++r, gate_up += 2 * width, dgate_up += 2 * width, dy += width) {
    for (size_t i = 0; i < width; ++i) {
      const float gate = gate_up[i], up = gate_up[width + i];
      const float sigmoid = 1 / (1 + std::exp(-gate));
      dgate_up[i] = dy[i] * up * (sigmoid * (1 + gate * (1 - sigmoid)));
      dgate_up[width + i] = dy[i] * (gate * sigmoid);
    }
  }
}

double CrossEntropy(float* logits, const int64_t* targets, size_t rows, size_t width, float scale) {
  double loss = 0;
  for (size_t r = 0; r < rows; ++r, logits += width) {
    const float largest = *std::max_element(logits, logits + width);
    const float wanted = logits[targets[r]];
    double sum = 0;
    for (size_t i = 0; i < width; ++i) sum += std::exp(double{logits[i]} - largest);
    loss += std::log(sum) + largest - wanted;
    for (size_t i = 0; i < width; ++i) {
      logits[i] = static_cast<float>(scale * std::exp(double{logits[i]} - largest) / sum);
    }
    logits[targets[r]] -= scale;
  }
  return loss;
}

}  // namespace weft::kernels::reference
