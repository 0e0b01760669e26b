#include "worker/training/inner_optimizer.h"

#include <ATen/Parallel.h>

#include "absl/strings/str_cat.h"
#include "worker/training/adamw.h"
#include "worker/training/sgd.h"

namespace weft {
namespace {

// Elements for which another thread pays: about a millisecond of memory traffic.
constexpr int64_t kShareMin = int64_t{1} << 18;

template <typename Optimizer>
std::unique_ptr<InnerOptimizer> Create(const ParameterLayout& layout) {
  return std::make_unique<Optimizer>(layout);
}

constexpr InnerOptimizerEntry kInnerOptimizers[] = {{"adamw", &Create<AdamW>},
                                                    {"sgd", &Create<InnerSgd>}};

}  // namespace

const InnerOptimizerEntry* FindInnerOptimizer(absl::string_view name) {
  if (name.empty()) return &kInnerOptimizers[0];
  for (const InnerOptimizerEntry& entry : kInnerOptimizers) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

std::string InnerOptimizerNames() {
  std::string names;
  for (const InnerOptimizerEntry& entry : kInnerOptimizers) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", entry.name);
  }
  return names;
}

std::vector<DecayRange> DecayRanges(const ParameterLayout& layout) {
  std::vector<DecayRange> ranges;
  for (const TensorSpec& tensor : layout.tensors()) {
    const bool decayed = tensor.shape.size() > 1;
    if (!ranges.empty() && ranges.back().decayed == decayed) {
      ranges.back().size += tensor.size;
    } else {
      ranges.push_back({tensor.offset, tensor.size, decayed});
    }
  }
  return ranges;
}

void ForEachPart(uint64_t offset, uint64_t size,
                 const std::function<void(uint64_t begin, uint64_t end)>& step) {
  const int64_t begin = static_cast<int64_t>(offset);
  at::parallel_for(begin, begin + static_cast<int64_t>(size), kShareMin,
                   [&](int64_t from, int64_t to) { step(from, to); });
}

}  // namespace weft
