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

void Change(double scale, absl::Span<const float> x, absl::Span<const float> z,
            absl::Span<double> change) {
  for (size_t i = 0; i < change.size(); ++i) change[i] = scale * (double{x[i]} - double{z[i]});
}

// use(changes) for each tile of the block in turn.
template <typename Use>
void ForEachTile(const std::vector<double>& scales, absl::Span<const float> z,
                 absl::Span<const absl::Span<const float>> vectors, const Use& use) {
  WEFT_CHECK(vectors.size() == scales.size());
  std::vector<std::vector<double>> changes(vectors.size());
  for (size_t begin = 0; begin < z.size(); begin += kTile) {
    const size_t count = std::min(kTile, z.size() - begin);
    for (size_t k = 0; k < vectors.size(); ++k) {
      WEFT_CHECK(vectors[k].size() == z.size());
      changes[k].resize(count);
      Change(scales[k], vectors[k].subspan(begin, count), z.subspan(begin, count),
             absl::MakeSpan(changes[k]));
    }
    use(changes);
  }
}

}  // namespace

ChangeProducts::ChangeProducts(std::vector<double> scales) : scales_(std::move(scales)) {
  for (size_t k = 0; k < scales_.size(); ++k) pairs_.emplace_back(k + 1, Lanes{});
}

void ChangeProducts::Add(absl::Span<const float> z,
                         absl::Span<const absl::Span<const float>> vectors) {
  ForEachTile(scales_, z, vectors, [this](const std::vector<std::vector<double>>& changes) {
    for (size_t k = 0; k < changes.size(); ++k) {
      for (size_t j = 0; j <= k; ++j) AddDot(changes[j], changes[k], &pairs_[k][j]);
    }
  });
}

double ChangeProducts::Product(size_t j, size_t k) const {
  return kernels::SumOfLanes(Of(j, k).data());
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
  ForEachTile(scales_, z, vectors, [&](const std::vector<std::vector<double>>& changes) {
    mean.assign(changes[0].size(), 0.0);
    for (size_t k = 0; k < changes.size(); ++k) {
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += weights_[k] * changes[k][i];
    }
    AddDot(mean, mean, &mean_squared_);
    for (size_t k = 0; k < changes.size(); ++k) {
      AddDot(changes[k], mean, &with_mean_[k]);
      AddDot(changes[k], changes[k], &squared_[k]);
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
