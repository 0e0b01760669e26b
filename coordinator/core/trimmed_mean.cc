#include "coordinator/core/trimmed_mean.h"

#include <algorithm>

#include "kernels/vector_ops.h"
#include "proto/check.h"

namespace weft {
namespace {

// Coordinates that are sorted at once: the values of all sites stay in the cache.
constexpr size_t kTile = 1024;

// z + scale (x - z); the vector itself, exactly, where nothing is scaled.
void Scaled(double scale, absl::Span<const float> x, absl::Span<const float> z,
            std::vector<double>* values) {
  values->assign(x.begin(), x.end());
  if (scale == 1) return;
  for (size_t i = 0; i < x.size(); ++i) (*values)[i] = z[i] + scale * ((*values)[i] - z[i]);
}

// Sorts each coordinate over the sites by odd-even transposition: the same K (K - 1) / 2 exchanges
// for every coordinate, so that they run over whole vectors of coordinates at once.
void SortBySite(std::vector<std::vector<double>>* values) {
  const size_t count = values->size();
  for (size_t pass = 0; pass < count; ++pass) {
    for (size_t k = pass % 2; k + 1 < count; k += 2) {
      kernels::CompareExchange((*values)[k].data(), (*values)[k + 1].data(), (*values)[k].size());
    }
  }
}

}  // namespace

std::unique_ptr<Aggregator> TrimmedMean::Create(uint32_t trimmed, std::vector<double> scales) {
  return std::make_unique<TrimmedMean>(trimmed, std::move(scales));
}

void TrimmedMean::Combine(absl::Span<const float> z,
                          absl::Span<const absl::Span<const float>> vectors,
                          absl::Span<double> combined) const {
  WEFT_CHECK(vectors.size() == scales_.size() && z.size() == combined.size());
  WEFT_CHECK(vectors.size() > 2 * size_t{trimmed_});
  const size_t last = vectors.size() - trimmed_;
  const auto left = static_cast<double>(last - trimmed_);
  std::vector<std::vector<double>> values(vectors.size());
  for (size_t begin = 0; begin < z.size(); begin += kTile) {
    const size_t count = std::min(kTile, z.size() - begin);
    for (size_t k = 0; k < vectors.size(); ++k) {
      WEFT_CHECK(vectors[k].size() == z.size());
      Scaled(scales_[k], vectors[k].subspan(begin, count), z.subspan(begin, count), &values[k]);
    }
    SortBySite(&values);
    double* sum = combined.data() + begin;
    std::fill(sum, sum + count, 0.0);
    for (size_t k = trimmed_; k < last; ++k) {
      for (size_t i = 0; i < count; ++i) sum[i] += values[k][i];
    }
    for (size_t i = 0; i < count; ++i) sum[i] /= left;
  }
}

}  // namespace weft
