#include "coordinator/core/outer_optimizer.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "coordinator/core/adam.h"
#include "coordinator/core/nesterov.h"
#include "coordinator/core/sgd.h"

namespace weft {
namespace {

struct OuterUpdateEntry {
  absl::string_view name;
  std::unique_ptr<OuterUpdate> (*create)(const OuterOptimizer&);
};
constexpr OuterUpdateEntry kOuterUpdates[] = {
    {"sgd", &Sgd::Create}, {"nesterov", &Nesterov::Create}, {"adam", &Adam::Create}};

absl::Status OutOfRange(absl::string_view field, double value, absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("consensus.outer.", field, " is ", value, ": expected ", expected));
}

absl::Status CheckRates(const OuterOptimizer& config) {
  const double rate = config.learning_rate(), momentum = config.momentum();
  if (!std::isfinite(rate) || rate <= 0) return OutOfRange("learning_rate", rate, "above 0");
  if (!(momentum >= 0 && momentum < 1)) {
    return OutOfRange("momentum", momentum, "0 <= momentum < 1");
  }
  const double beta2 = config.beta2(), tau = config.tau();
  if (config.name() != "adam") {
    if (beta2 != 0) return OutOfRange("beta2", beta2, "nothing: it is of adam");
    if (tau != 0) return OutOfRange("tau", tau, "nothing: it is of adam");
    return absl::OkStatus();
  }
  if (config.nesterov()) {
    return absl::InvalidArgumentError("consensus.outer.nesterov is of sgd, not of adam");
  }
  if (!(beta2 >= 0 && beta2 < 1)) return OutOfRange("beta2", beta2, "0 <= beta2 < 1");
  // tau^2, where the second moment begins, is an ordinary fp32 number.
  if (!(tau >= 1e-18 && tau <= 1e18)) return OutOfRange("tau", tau, "1e-18 <= tau <= 1e18");
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
