#include "coordinator/core/aggregator.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/core/mean.h"

namespace weft {
namespace {

struct AggregatorEntry {
  absl::string_view name;
  std::unique_ptr<Aggregator> (*create)();
};
constexpr AggregatorEntry kAggregators[] = {{"mean", &Mean::Create}};

}  // namespace

absl::StatusOr<std::unique_ptr<Aggregator>> MakeAggregator(absl::string_view name) {
  std::string known;
  for (const AggregatorEntry& entry : kAggregators) {
    if (entry.name == name) return entry.create();
    absl::StrAppend(&known, known.empty() ? "" : ", ", entry.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("consensus.combine is \"", name, "\": expected one of ", known));
}

}  // namespace weft
