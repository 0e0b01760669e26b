#include "coordinator/core/outer_optimizer.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "coordinator/core/nesterov.h"
#include "coordinator/core/sgd.h"

namespace weft {
namespace {

struct OuterUpdateEntry {
  absl::string_view name;
  std::unique_ptr<OuterUpdate> (*create)(const OuterOptimizer&);
};
constexpr OuterUpdateEntry kOuterUpdates[] = {{"sgd", &Sgd::Create},
                                              {"nesterov", &Nesterov::Create}};

absl::Status CheckRates(const OuterOptimizer& config) {
  const double rate = config.learning_rate(), momentum = config.momentum();
  if (!std::isfinite(rate) || rate <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("consensus.outer.learning_rate is ", rate, ": expected above 0"));
  }
  if (!std::isfinite(momentum) || momentum < 0 || momentum >= 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("consensus.outer.momentum is ", momentum, ": expected 0 <= momentum < 1"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<OuterUpdate>> MakeOuterUpdate(const OuterOptimizer& config) {
  if (absl::Status status = CheckRates(config); !status.ok()) return status;
  // The manifest may say it either way: name "nesterov", or "sgd" with the flag.
  const std::string name = config.nesterov() ? "nesterov" : config.name();
  std::string known;
  for (const OuterUpdateEntry& entry : kOuterUpdates) {
    if (entry.name == name) return entry.create(config);
    absl::StrAppend(&known, known.empty() ? "" : ", ", entry.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("consensus.outer.name is \"", name, "\": expected one of ", known));
}

}  // namespace weft
