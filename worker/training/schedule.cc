#include "worker/training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/round_schedule.h"
#include "worker/training/inner_optimizer.h"

namespace weft {
namespace {

constexpr uint32_t kProtocolVersion = 1;
// Far above any use; keeps products of sizes far below 2^63.
constexpr uint32_t kCountMax = 1u << 24;
// An order names each by its digest.
constexpr uint32_t kFragmentsMax = 1024;

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
  if (FindInnerOptimizer(training.optimizer()) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("order: training.optimizer is ",
                                                   training.optimizer(), ", this worker has ",
                                                   InnerOptimizerNames()));
  }
  // Those of AdamW; SGD has none.
  const bool adamw = training.optimizer() != "sgd";
  for (const auto& [name, value] : {std::pair{"training.beta1", training.beta1()},
                                    std::pair{"training.beta2", training.beta2()}}) {
    if (adamw && !(value >= 0 && value < 1)) return Refused(name, value, "0 to below 1");
  }
  if (adamw && (!(training.epsilon() > 0) || !std::isfinite(training.epsilon()))) {
    return Refused("training.epsilon", training.epsilon(), "above 0");
  }
  for (const auto& [name, value] :
       {std::pair{"training.weight_decay", training.weight_decay()},
        std::pair{"training.gradient_clip", training.gradient_clip()}}) {
    if (!(value >= 0) || !std::isfinite(value)) return Refused(name, value, "0 or more");
  }
  return absl::OkStatus();
}

absl::Status CheckScheme(const RoundOrder& order) {
  const ConsensusScheme& scheme = order.consensus();
  if (!(scheme.alpha() >= 0 && scheme.alpha() <= 1) || (scheme.alpha() == 0 && !scheme.dual())) {
    return Refused("consensus.alpha", scheme.alpha(),
                   "above 0, up to 1 (assign); 0 where consensus.dual");
  }
  if (!(scheme.pull() >= 0 && scheme.pull() < 1)) {
    return Refused("consensus.pull", scheme.pull(), "0 to below 1");
  }
  for (const auto& [name, value] :
       {std::pair{"consensus.rho", scheme.rho()}, std::pair{"rho", order.rho()}}) {
    if (!(value >= 0) || !std::isfinite(value)) return Refused(name, value, "0 or more");
  }
  if (scheme.rho() > 0 && scheme.pull() > 0) {
    return absl::InvalidArgumentError("order: consensus gives both rho and pull; give one");
  }
  for (const auto& [name, value, other, usual] :
       {std::tuple{"mix_with", scheme.mix_with(), "previous", "new"},
        std::tuple{"pull_form", scheme.pull_form(), "gradient", "prox"}}) {
    if (!value.empty() && value != other && value != usual) {
      return absl::InvalidArgumentError(absl::StrCat("order: consensus.", name, " is ", value,
                                                     ", allowed is ", usual, " or ", other));
    }
  }
  if (scheme.influence().validation_samples() > kCountMax) {
    return Refused("consensus.influence.validation_samples",
                   scheme.influence().validation_samples(), "at most 2^24");
  }
  return absl::OkStatus();
}

absl::Status CheckFragments(const RoundOrder& order) {
  const ConsensusScheme& scheme = order.consensus();
  const uint32_t count = FragmentCount(scheme);
  if (count > kFragmentsMax) {
    return Refused("consensus.fragments", count, absl::StrCat("at most ", kFragmentsMax));
  }
  if (order.fragment() >= count) {
    return Refused("fragment", order.fragment(), absl::StrCat("below ", count));
  }
  const int digests = order.fragment_digests_size();
  if (static_cast<uint32_t>(digests) != count && (count > 1 || digests > 0)) {
    return Refused("the number of fragment_digests", digests, absl::StrCat(count));
  }
  if (digests > 0 &&
      order.fragment_digests(static_cast<int>(order.fragment())) != order.base_digest()) {
    return absl::InvalidArgumentError(absl::StrCat("order: base_digest is ", order.base_digest(),
                                                   ", fragment_digests has another of fragment ",
                                                   order.fragment()));
  }
  if (scheme.fragment_delay_steps() >= order.inner_steps()) {
    return Refused("consensus.fragment_delay_steps", scheme.fragment_delay_steps(),
                   absl::StrCat("below inner_steps, ", order.inner_steps()));
  }
  const bool overlapped = count > 1 || scheme.fragment_delay_steps() > 0;
  if (overlapped &&
      (scheme.mix_with() == "previous" || scheme.dual() || !order.anchor_digest().empty())) {
    return absl::InvalidArgumentError(
        "order: fragments or a delay go with mix_with new, and without dual and anchor");
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
  for (const uint64_t step : {order.total_steps(), order.first_step(), order.first_sample_step()}) {
    if (step > uint64_t{1} << 40) {
      return absl::InvalidArgumentError(
          "order: first_step, first_sample_step and total_steps are at most 2^40");
    }
  }
  if (absl::Status status = CheckScheme(order); !status.ok()) return status;
  if (absl::Status status = CheckFragments(order); !status.ok()) return status;
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

double PullStrength(const RoundOrder& order) {
  if (order.rho() > 0) return order.rho();
  return PullStrength(order.consensus(), order.inner_steps(), order.training().learning_rate());
}

}  // namespace weft
