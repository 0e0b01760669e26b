#include "worker/training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weft {
namespace {

constexpr uint32_t kProtocolVersion = 1;
// Far above any use; keeps products of sizes far below 2^63.
constexpr uint32_t kCountMax = 1u << 24;

absl::Status Refused(absl::string_view field, double got, absl::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat("order: ", field, " is ", got, ", allowed is ", allowed));
}

absl::Status CheckTraining(const InnerTraining& training) {
  for (const auto& [name, value] :
       {std::pair{"training.batch_size", training.batch_size()},
        std::pair{"training.sequence_length", training.sequence_length()}}) {
    if (value < 1 || value > kCountMax) return Refused(name, value, "1 to 2^24");
  }
  if (!(training.learning_rate() > 0) || !std::isfinite(training.learning_rate())) {
    return Refused("training.learning_rate", training.learning_rate(), "above 0");
  }
  if (!(training.learning_rate_min() >= 0 &&
        training.learning_rate_min() <= training.learning_rate())) {
    return Refused("training.learning_rate_min", training.learning_rate_min(),
                   "0 to learning_rate");
  }
  for (const auto& [name, value] : {std::pair{"training.beta1", training.beta1()},
                                    std::pair{"training.beta2", training.beta2()}}) {
    if (!(value >= 0 && value < 1)) return Refused(name, value, "0 to below 1");
  }
  if (!(training.epsilon() > 0) || !std::isfinite(training.epsilon())) {
    return Refused("training.epsilon", training.epsilon(), "above 0");
  }
  for (const auto& [name, value] :
       {std::pair{"training.weight_decay", training.weight_decay()},
        std::pair{"training.gradient_clip", training.gradient_clip()}}) {
    if (!(value >= 0) || !std::isfinite(value)) return Refused(name, value, "0 or more");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckOrder(const RoundOrder& order) {
  if (order.protocol_version() != kProtocolVersion) {
    return Refused("protocol_version", order.protocol_version(),
                   absl::StrCat(kProtocolVersion, ": gate and worker must be of one version"));
  }
  if (order.inner_steps() < 1 || order.inner_steps() > kCountMax) {
    return Refused("inner_steps", order.inner_steps(), "1 to 2^24");
  }
  if (order.fragment() != 0) return Refused("fragment", order.fragment(), "0: the only one");
  if (order.total_steps() > uint64_t{1} << 40 || order.first_step() > uint64_t{1} << 40) {
    return absl::InvalidArgumentError("order: first_step and total_steps are at most 2^40");
  }
  const ConsensusScheme& scheme = order.consensus();
  if (!(scheme.alpha() > 0 && scheme.alpha() <= 1)) {
    return Refused("consensus.alpha", scheme.alpha(), "above 0, up to 1 (assign)");
  }
  if (!(scheme.pull() >= 0 && scheme.pull() < 1)) {
    return Refused("consensus.pull", scheme.pull(), "0 to below 1");
  }
  if (!(scheme.rho() >= 0) || !std::isfinite(scheme.rho())) {
    return Refused("consensus.rho", scheme.rho(), "0 or more");
  }
  if (scheme.rho() > 0 && scheme.pull() > 0) {
    return absl::InvalidArgumentError("order: consensus gives both rho and pull; give one");
  }
  return CheckTraining(order.training());
}

double LearningRate(const InnerTraining& training, uint64_t step, uint64_t total_steps) {
  const uint64_t warmup = training.warmup_steps();
  if (step < warmup) {
    return training.learning_rate() * static_cast<double>(step + 1) / static_cast<double>(warmup);
  }
  if (step >= total_steps) return training.learning_rate_min();
  const double way = static_cast<double>(step - warmup) / static_cast<double>(total_steps - warmup);
  return training.learning_rate_min() +
         0.5 * (training.learning_rate() - training.learning_rate_min()) *
             (1 + std::cos(std::numbers::pi * way));
}

double JoinFactor(const InnerTraining& training, uint64_t own_steps) {
  const uint64_t warmup = training.warmup_after_join_steps();
  if (own_steps + 1 >= warmup) return 1;
  return static_cast<double>(own_steps + 1) / static_cast<double>(warmup);
}

double PullStrength(const ConsensusScheme& scheme, uint32_t inner_steps,
                    double learning_rate_peak) {
  if (scheme.pull() == 0) return scheme.rho();
  return std::expm1(-std::log1p(-scheme.pull()) / inner_steps) / learning_rate_peak;
}

}  // namespace weft
