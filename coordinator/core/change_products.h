// Inner products of the cohort's changes d_k = scale_k (x_k - z), gathered a block at a time: all
// that a rule needs to know which contributions are near each other, without a second model in
// memory.
//
//   ChangeProducts products(scales);
//   for (each block) products.Add(z, {x_1, .., x_K});
//   products.SquaredDistance(0, 1)                       ||d_0 - d_1||^2
//
// Sums run in double over fixed lanes, elements in order, and lanes are added at the end: the same
// bytes on every machine, and wherever the vectors are divided into blocks. Belongs to one thread.
#ifndef WEFT_COORDINATOR_CORE_CHANGE_PRODUCTS_H_
#define WEFT_COORDINATOR_CORE_CHANGE_PRODUCTS_H_

#include <array>
#include <cstddef>
#include <vector>

#include "absl/types/span.h"

namespace weft {

// A sum whose lanes are not added yet (kernels/vector_ops.h).
using Lanes = std::array<double, 8>;

// All pairs: the K x K Gram matrix.
class ChangeProducts {
 public:
  explicit ChangeProducts(std::vector<double> scales);
  // Blocks in order; each but the last has a multiple of eight elements.
  void Add(absl::Span<const float> z, absl::Span<const absl::Span<const float>> vectors);

  size_t size() const { return scales_.size(); }
  double Product(size_t j, size_t k) const;
  double Norm(size_t k) const;
  // Never negative. Exactly 0 for equal vectors.
  double SquaredDistance(size_t j, size_t k) const;

 private:
  const Lanes& Of(size_t j, size_t k) const { return j < k ? pairs_[k][j] : pairs_[j][k]; }
  std::vector<double> scales_;
  std::vector<std::vector<Lanes>> pairs_;  // [k][j], j <= k
};

// The cosine of each change with their weighted mean: K + 1 products instead of K^2.
class MeanCosines {
 public:
  MeanCosines(std::vector<double> weights, std::vector<double> scales);
  void Add(absl::Span<const float> z, absl::Span<const absl::Span<const float>> vectors);
  // 0 where one of the two is zero.
  std::vector<double> Cosines() const;

 private:
  std::vector<double> weights_, scales_;
  Lanes mean_squared_{};
  std::vector<Lanes> squared_, with_mean_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_CHANGE_PRODUCTS_H_
