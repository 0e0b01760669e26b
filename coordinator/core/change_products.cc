#include "coordinator/core/change_products.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/vector_ops.h"
#include "proto/check.h"

namespace weft {
namespace {

// Elements that are worked on at once, so that the changes of a cohort stay in the cache.
constexpr size_t kTile = 1024;

void AddDot(const std::vector<double>& x, const std::vector<double>& y, Lanes* lanes) {
  kernels::AccumulateDot(x.data(), y.data(), x.size(), lanes->data());
}

// use(tile's z, tile's vectors, their differences x_k - z) for each tile of the block in turn.
template <typename Use>
void ForEachTile(size_t count, absl::Span<const float> z,
                 absl::Span<const absl::Span<const float>> vectors, const Use& use) {
  WEFT_CHECK(vectors.size() == count);
  std::vector<absl::Span<const float>> x(count);
  std::vector<std::vector<double>> differences(count);
  for (size_t begin = 0; begin < z.size(); begin += kTile) {
    const absl::Span<const float> base = z.subspan(begin, kTile);
    for (size_t k = 0; k < count; ++k) {
      WEFT_CHECK(vectors[k].size() == z.size());
      x[k] = vectors[k].subspan(begin, kTile);
      differences[k].resize(base.size());
      kernels::Difference(x[k].data(), base.data(), base.size(), differences[k].data());
    }
    use(base, x, differences);
  }
}

}  // namespace

ChangeProducts::ChangeProducts(std::vector<double> scales) : scales_(std::move(scales)) {
  for (size_t k = 0; k < scales_.size(); ++k) pairs_.emplace_back(k + 1, Lanes{});
}

void ChangeProducts::Add(absl::Span<const float> z,
                         absl::Span<const absl::Span<const float>> vectors) {
  ForEachTile(size(), z, vectors,
              [this](absl::Span<const float>, const auto&, const auto& differences) {
                for (size_t k = 0; k < differences.size(); ++k) {
                  for (size_t j = 0; j <= k; ++j) {
                    AddDot(differences[j], differences[k], &pairs_[k][j]);
                  }
                }
              });
}

double ChangeProducts::Product(size_t j, size_t k) const {
  return scales_[j] * scales_[k] * kernels::SumOfLanes(Of(j, k).data());
}

double ChangeProducts::Norm(size_t k) const { return std::sqrt(Product(k, k)); }

double ChangeProducts::SquaredDistance(size_t j, size_t k) const {
  return std::max(0.0, Product(j, j) + Product(k, k) - 2 * Product(j, k));
}

MeanCosines::MeanCosines(std::vector<double> weights, std::vector<double> scales)
    : weights_(std::move(weights)),
      scales_(std::move(scales)),
      squared_(scales_.size()),
      with_mean_(scales_.size()) {}

void MeanCosines::Add(absl::Span<const float> z,
                      absl::Span<const absl::Span<const float>> vectors) {
  std::vector<double> mean;
  ForEachTile(scales_.size(), z, vectors,
              [&](absl::Span<const float> base, const auto& x, const auto& differences) {
                // sum_k p_k s_k x_k - (sum_k p_k s_k) z, so that every term is a pass over floats.
                mean.assign(base.size(), 0.0);
                double sum = 0;
                for (size_t k = 0; k < x.size(); ++k) {
                  const double part = weights_[k] * scales_[k];
                  kernels::AccumulateWeighted(part, x[k].data(), mean.size(), mean.data());
                  sum += part;
                }
                kernels::AccumulateWeighted(-sum, base.data(), mean.size(), mean.data());
                AddDot(mean, mean, &mean_squared_);
                for (size_t k = 0; k < differences.size(); ++k) {
                  AddDot(differences[k], mean, &with_mean_[k]);
                  AddDot(differences[k], differences[k], &squared_[k]);
                }
              });
}

std::vector<double> MeanCosines::Cosines() const {
  const double mean_norm = std::sqrt(kernels::SumOfLanes(mean_squared_.data()));
  std::vector<double> cosines;
  for (size_t k = 0; k < squared_.size(); ++k) {
    const double norms = mean_norm * std::sqrt(kernels::SumOfLanes(squared_[k].data()));
    cosines.push_back(norms > 0 ? kernels::SumOfLanes(with_mean_[k].data()) / norms : 0);
  }
  return cosines;
}

}  // namespace weft
