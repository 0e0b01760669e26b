#include "worker/training/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/optimizer_step.h"
#include "kernels/vector_ops.h"
#include "model/parameters/fragment_range.h"
#include "proto/check.h"
#include "proto/round_schedule.h"
#include "worker/training/schedule.h"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

Trainer::Trainer(std::unique_ptr<Transformer> model, TokenDataset data,
                 std::optional<TokenDataset> held_out)
    : model_(std::move(model)),
      data_(std::move(data)),
      held_out_(std::move(held_out)),
      mixer_(model_->layout().element_count()) {}

std::unique_ptr<Trainer> Trainer::Create(std::unique_ptr<Transformer> model, TokenDataset data,
                                         std::optional<TokenDataset> held_out) {
  return std::unique_ptr<Trainer>(
      new Trainer(std::move(model), std::move(data), std::move(held_out)));
}

absl::Status Trainer::CheckFits(const RoundOrder& order) const {
  if (absl::Status status = CheckOrder(order); !status.ok()) return status;
  const uint32_t length = order.training().sequence_length();
  const uint32_t context = model_->config().context_length();
  if (static_cast<int>(length) != data_.sequence_length() || length > context) {
    return absl::InvalidArgumentError(
        absl::StrCat("order: training.sequence_length is ", length, "; the data were opened for ",
                     data_.sequence_length(), " and the model reads at most ", context));
  }
  if (optimizer_ != nullptr &&
      FindInnerOptimizer(order.training().optimizer())->name != optimizer_->name()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "order: training.optimizer is ", order.training().optimizer(), ", this site trains with ",
        optimizer_->name(), ", whose state would be lost"));
  }
  const uint64_t fragments_max = FragmentsMax(layout().element_count());
  if (FragmentCount(order.consensus()) > fragments_max) {
    return absl::InvalidArgumentError(absl::StrCat("order: consensus.fragments is ",
                                                   order.consensus().fragments(),
                                                   ", this model has at most ", fragments_max));
  }
  const uint32_t wanted = order.consensus().influence().validation_samples();
  const uint64_t held_out = held_out_.has_value() ? held_out_->sample_count() : 0;
  if (wanted > held_out ||
      (wanted > 0 && held_out_->sequence_length() != static_cast<int>(length))) {
    return absl::InvalidArgumentError(
        absl::StrCat("order: consensus.influence.validation_samples is ", wanted,
                     ", the data hold ", held_out, " held-out samples of ", length,
                     " tokens; prepare them with a larger --held-out, and start the worker again"));
  }
  return absl::OkStatus();
}

bool Trainer::Continues(const RoundOrder& order) const {
  return !ahead_losses_.empty() && order.run_id() == order_.run_id() &&
         order.first_step() == order_.first_step() + order_.inner_steps() &&
         order.first_sample_step() == order_.first_sample_step() + order_.inner_steps() &&
         order.total_steps() == order_.total_steps() && order.seed() == order_.seed() &&
         order.site() == order_.site() &&
         order.consensus().fragment_delay_steps() >= ahead_losses_.size() &&
         order.training().SerializeAsString() == order_.training().SerializeAsString();
}

void Trainer::TakeOrder(const RoundOrder& order) {
  if (optimizer_ == nullptr) {
    optimizer_ = FindInnerOptimizer(order.training().optimizer())->create(layout());
  }
  order_ = order;
  samples_.emplace(order.seed(), order.site(), data_.sample_count());
}

absl::Status Trainer::BeginRound(const RoundOrder& order, Bases bases) {
  if (absl::Status status = CheckFits(order); !status.ok()) return status;
  WEFT_CHECK(mixer_.Holds(order, bases));
  if (order_.inner_steps() == 0) cold_step_ = order.first_step();
  const bool continues = Continues(order);
  const std::vector<float> ahead_losses = std::exchange(ahead_losses_, {});
  seconds_training_ = continues ? ahead_seconds_ : 0;
  ahead_seconds_ = 0;
  ended_ = false;
  steps_done_ = 0;
  first_loss_sum_ = last_loss_sum_ = newest_loss_ = 0;
  seconds_waiting_ = validation_before_ = validation_after_ = 0;
  TakeOrder(order);
  if (continues) {
    for (float loss : ahead_losses) Count(loss);
  }
  if (!mixer_.Begin(order, std::move(bases), steps_done_, w())) return absl::OkStatus();
  return Validate(&validation_before_);
}

absl::Status Trainer::Validate(double* loss) {
  const uint32_t samples = order_.consensus().influence().validation_samples();
  if (samples == 0) return absl::OkStatus();
  absl::StatusOr<double> measured =
      HeldOutLoss(model_.get(), *held_out_, samples, order_.training().batch_size());
  if (measured.ok()) *loss = *measured;
  return measured.status();
}

absl::Status Trainer::ReadBatch() {
  const uint64_t batch = order_.training().batch_size();
  sample_numbers_.resize(batch);
  for (uint64_t j = 0; j < batch; ++j) {
    sample_numbers_[j] = samples_->At(next_sample_step() * batch + j);
  }
  return batch_.Read(data_, model_->config().vocabulary_size(), sample_numbers_);
}

absl::StatusOr<StepReport> Trainer::Step() {
  WEFT_CHECK(ended_ ? CanStepAhead() : !round_done());
  const double rho = mixer_.rho();
  const float* target = mixer_.target();
  WEFT_CHECK(rho == 0 || target != nullptr);
  const InnerTraining& training = order_.training();
  const uint64_t element_count = layout().element_count();
  StepReport report;
  report.round = next_round();
  report.clock_step = next_clock_step();

  const Clock::time_point begin = Clock::now();
  if (absl::Status status = ReadBatch(); !status.ok()) return status;
  report.loss = model_->LossAndGradients(batch_.tokens(), batch_.targets(),
                                         static_cast<int>(training.batch_size()),
                                         static_cast<int>(training.sequence_length()));
  report.seconds_gradients = SecondsSince(begin);

  const Clock::time_point optimizer_begin = Clock::now();
  const bool coupled = order_.consensus().pull_form() == "gradient" && rho > 0;
  if (coupled) {
    kernels::AddPull(static_cast<float>(rho), model_->parameters(), target, element_count,
                     model_->gradients());
  }
  report.gradient_norm =
      std::sqrt(kernels::SquaredDistance(model_->gradients(), nullptr, element_count));
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm)) {
    return absl::OutOfRangeError(absl::StrCat(
        "training diverged at step ", report.clock_step, ": loss ", report.loss, ", gradient norm ",
        report.gradient_norm, "; a smaller learning_rate or a gradient_clip may prevent it"));
  }
  report.learning_rate = LearningRate(training, report.clock_step, order_.total_steps());
  if (cold_step_ > 0) report.learning_rate *= JoinFactor(training, optimizer_->steps());

  InnerStep step;
  step.learning_rate = report.learning_rate;
  step.rho = coupled ? 0 : rho;
  const double clip = training.gradient_clip();
  step.gradient_scale = clip > 0 && report.gradient_norm > clip ? clip / report.gradient_norm : 1;
  step.gradient = model_->gradients();
  step.base = target;
  step.w = model_->parameters();
  optimizer_->Step(training, step);
  report.seconds_optimizer = SecondsSince(optimizer_begin);

  if (ended_) {
    ahead_losses_.push_back(report.loss);
    ahead_seconds_ += SecondsSince(begin);
    return report;
  }
  Count(report.loss);
  seconds_training_ += SecondsSince(begin);
  if (mixer_.TakeWhenDue(steps_done_, w())) {
    if (absl::Status status = Validate(&validation_before_); !status.ok()) return status;
  }
  return report;
}

void Trainer::Count(double loss) {
  if (steps_done_ < tenth()) first_loss_sum_ += loss;
  if (steps_done_ >= order_.inner_steps() - tenth()) last_loss_sum_ += loss;
  newest_loss_ = loss;
  ++steps_done_;
}

absl::Status Trainer::EndRound() {
  WEFT_CHECK(order_.inner_steps() > 0 && taken());
  if (ended_) return absl::OkStatus();
  if (absl::Status status = Validate(&validation_after_); !status.ok()) return status;
  ended_ = true;
  return absl::OkStatus();
}

absl::StatusOr<RoundStats> Trainer::Round(const RoundOrder& order, Bases bases) {
  if (absl::Status status = BeginRound(order, std::move(bases)); !status.ok()) return status;
  while (!round_done()) {
    if (absl::StatusOr<StepReport> report = Step(); !report.ok()) return report.status();
  }
  if (absl::Status status = EndRound(); !status.ok()) return status;
  return stats();
}

RoundStats Trainer::stats() const {
  RoundStats stats;
  stats.inner_steps = steps_done_;
  stats.token_count =
      uint64_t{steps_done_} * order_.training().batch_size() * order_.training().sequence_length();
  const uint32_t first = std::min(steps_done_, tenth());
  const uint32_t last_begin = order_.inner_steps() - tenth();
  const uint32_t last = steps_done_ > last_begin ? steps_done_ - last_begin : 0;
  if (first > 0) stats.first_loss = first_loss_sum_ / first;
  stats.last_loss = last > 0 ? last_loss_sum_ / last : newest_loss_;
  stats.seconds_training = seconds_training_;
  stats.seconds_waiting = seconds_waiting_;
  stats.validation_before = validation_before_;
  stats.validation_after = validation_after_;
  return stats;
}

absl::Span<const float> Trainer::vector() const {
  return {model_->parameters(), layout().element_count()};
}

absl::Span<const float> Trainer::result() const {
  const FragmentRange range = RangeOfFragment(layout().element_count(),
                                              FragmentCount(order_.consensus()), order_.fragment());
  return vector().subspan(range.begin, range.size);
}

}  // namespace weft
