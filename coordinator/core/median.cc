#include "coordinator/core/median.h"

#include <algorithm>
#include <utility>

#include "coordinator/core/trimmed_mean.h"
#include "proto/check.h"

namespace weft {

std::unique_ptr<Aggregator> MakeMedian(std::vector<double> scales) {
  WEFT_CHECK(!scales.empty());
  const auto trimmed = static_cast<uint32_t>((scales.size() - 1) / 2);
  return TrimmedMean::Create(trimmed, std::move(scales));  // one is left, or the middle two
}

double MedianOf(std::vector<double> numbers) {
  WEFT_CHECK(!numbers.empty());
  std::sort(numbers.begin(), numbers.end());
  const size_t middle = numbers.size() / 2;
  return numbers.size() % 2 == 1 ? numbers[middle] : (numbers[middle - 1] + numbers[middle]) / 2;
}

}  // namespace weft
