#include "worker/training/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/vector_ops.h"
#include "proto/check.h"
#include "proto/digest.h"
#include "worker/training/adamw.h"
#include "worker/training/schedule.h"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

Trainer::Trainer(std::unique_ptr<Transformer> model, TokenDataset data)
    : model_(std::move(model)),
      data_(std::move(data)),
      optimizer_(std::make_unique<AdamW>(model_->layout())) {}

std::unique_ptr<Trainer> Trainer::Create(std::unique_ptr<Transformer> model, TokenDataset data) {
  return std::unique_ptr<Trainer>(new Trainer(std::move(model), std::move(data)));
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
  return absl::OkStatus();
}

void Trainer::TakeOrder(const RoundOrder& order, ParameterVector base) {
  const InnerTraining& training = order.training();
  order_ = order;
  rho_ = PullStrength(order.consensus(), order.inner_steps(), training.learning_rate());
  base_ = rho_ > 0 ? std::move(base) : ParameterVector();
  samples_.emplace(order.seed(), order.site(), data_.sample_count());
  sample_.resize(training.sequence_length() + 1);
  tokens_.resize(size_t{training.batch_size()} * training.sequence_length());
  targets_.resize(tokens_.size());
}

absl::Status Trainer::BeginRound(const RoundOrder& order, ParameterVector base) {
  WEFT_CHECK(base.size() == layout().element_count());
  if (absl::Status status = CheckFits(order); !status.ok()) return status;
  const bool first = order_.inner_steps() == 0;
  const float alpha = static_cast<float>(order.consensus().alpha());
  if (first || alpha == 1) {
    model_->LoadParameters(base.span());
  } else {
    float* w = model_->parameters();
    const float* z = base.data();
    for (uint64_t i = 0; i < base.size(); ++i) w[i] = w[i] + alpha * (z[i] - w[i]);
  }
  if (first) cold_step_ = order.first_step();
  steps_done_ = 0;
  first_loss_sum_ = last_loss_sum_ = newest_loss_ = seconds_training_ = 0;
  TakeOrder(order, std::move(base));
  return absl::OkStatus();
}

absl::Status Trainer::ReadBatch(uint64_t clock_step) {
  const uint64_t batch = order_.training().batch_size();
  const size_t length = order_.training().sequence_length();
  const int64_t vocabulary = model_->config().vocabulary_size();
  for (uint64_t j = 0; j < batch; ++j) {
    const uint64_t sample = samples_->At(clock_step * batch + j);
    data_.ReadSample(sample, absl::MakeSpan(sample_));
    for (int32_t token : sample_) {
      if (token < 0 || token >= vocabulary) {
        return absl::DataLossError(absl::StrCat(
            "data: sample ", sample, " holds token ", token, ", the vocabulary has ", vocabulary,
            ": the shards are damaged or of another tokenizer; prepare them again"));
      }
    }
    std::copy_n(sample_.begin(), length, tokens_.begin() + j * length);
    std::copy_n(sample_.begin() + 1, length, targets_.begin() + j * length);
  }
  return absl::OkStatus();
}

absl::StatusOr<StepReport> Trainer::Step() {
  WEFT_CHECK(!round_done());
  WEFT_CHECK(rho_ == 0 || base_.size() == layout().element_count());
  const InnerTraining& training = order_.training();
  StepReport report;
  report.round = order_.round();
  report.clock_step = clock_step();

  const Clock::time_point begin = Clock::now();
  if (absl::Status status = ReadBatch(report.clock_step); !status.ok()) return status;
  report.loss = model_->LossAndGradients(tokens_, targets_, static_cast<int>(training.batch_size()),
                                         static_cast<int>(training.sequence_length()));
  report.seconds_gradients = SecondsSince(begin);

  const Clock::time_point optimizer_begin = Clock::now();
  report.gradient_norm =
      std::sqrt(kernels::SquaredDistance(model_->gradients(), nullptr, layout().element_count()));
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm)) {
    return absl::OutOfRangeError(absl::StrCat(
        "training diverged at step ", report.clock_step, ": loss ", report.loss, ", gradient norm ",
        report.gradient_norm, "; a smaller learning_rate or a gradient_clip may prevent it"));
  }
  report.learning_rate = LearningRate(training, report.clock_step, order_.total_steps());
  if (cold_step_ > 0) report.learning_rate *= JoinFactor(training, optimizer_->steps());

  InnerStep step;
  step.learning_rate = report.learning_rate;
  step.rho = rho_;
  const double clip = training.gradient_clip();
  step.gradient_scale = clip > 0 && report.gradient_norm > clip ? clip / report.gradient_norm : 1;
  step.gradient = model_->gradients();
  step.base = base_.data();
  step.w = model_->parameters();
  optimizer_->Step(training, step);
  report.seconds_optimizer = SecondsSince(optimizer_begin);

  if (steps_done_ < tenth()) first_loss_sum_ += report.loss;
  if (steps_done_ >= order_.inner_steps() - tenth()) last_loss_sum_ += report.loss;
  newest_loss_ = report.loss;
  ++steps_done_;
  seconds_training_ += SecondsSince(begin);
  return report;
}

absl::StatusOr<RoundStats> Trainer::Round(const RoundOrder& order, ParameterVector base) {
  if (absl::Status status = BeginRound(order, std::move(base)); !status.ok()) return status;
  while (!round_done()) {
    if (absl::StatusOr<StepReport> report = Step(); !report.ok()) return report.status();
  }
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
  return stats;
}

absl::Span<const float> Trainer::vector() const {
  return {model_->parameters(), layout().element_count()};
}

absl::Status Trainer::SaveCheckpoint(CheckpointFolder* folder) {
  CheckpointHeader header;
  header.set_version(1);
  header.set_layout_digest(ToHex(layout().digest()));
  *header.mutable_order() = order_;
  header.set_steps_done(steps_done_);
  header.set_optimizer(optimizer_->name());
  header.set_optimizer_steps(optimizer_->steps());
  header.set_cold_step(cold_step_);
  header.set_data_position(clock_step() * order_.training().batch_size());
  header.set_sample_count(data_.sample_count());
  header.set_first_loss_sum(first_loss_sum_);
  header.set_last_loss_sum(last_loss_sum_);
  header.set_newest_loss(newest_loss_);
  header.set_seconds_training(seconds_training_);

  std::vector<absl::Span<const float>> vectors;
  const auto add = [&](const std::string& name, absl::Span<const float> values) {
    CheckpointVector* vector = header.add_vectors();
    vector->set_name(name);
    vector->set_element_count(values.size());
    vectors.push_back(values);
  };
  add("w", vector());
  for (const auto& [name, state] : optimizer_->State()) add(name, state->span());
  return folder->Save(header, vectors);
}

absl::Status Trainer::Resume(Checkpoint checkpoint, ParameterVector base, std::string* warning) {
  WEFT_CHECK(order_.inner_steps() == 0);
  const CheckpointHeader& header = checkpoint.header;
  const auto state = optimizer_->State();
  bool fits = header.layout_digest() == ToHex(layout().digest()) &&
              header.optimizer() == optimizer_->name() &&
              checkpoint.vectors.size() == state.size() + 1 &&
              header.steps_done() <= header.order().inner_steps();
  for (size_t i = 0; fits && i < checkpoint.vectors.size(); ++i) {
    fits = header.vectors(i).name() == (i == 0 ? "w" : state[i - 1].first) &&
           checkpoint.vectors[i].size() == layout().element_count();
  }
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the checkpoint is of another model or optimizer (layout ", header.layout_digest(), ", ",
        header.optimizer(), "; here ", ToHex(layout().digest()), ", ", optimizer_->name(),
        "): move the checkpoints away to start anew"));
  }
  if (header.sample_count() != data_.sample_count()) {
    *warning =
        absl::StrCat("the data have ", data_.sample_count(), " samples, the checkpoint's had ",
                     header.sample_count(), ": the order of samples is another one from here on");
  }
  if (absl::Status status = CheckFits(header.order()); !status.ok()) return status;
  TakeOrder(header.order(), std::move(base));
  steps_done_ = header.steps_done();
  cold_step_ = header.cold_step();
  first_loss_sum_ = header.first_loss_sum();
  last_loss_sum_ = header.last_loss_sum();
  newest_loss_ = header.newest_loss();
  seconds_training_ = header.seconds_training();
  optimizer_->set_steps(header.optimizer_steps());
  model_->LoadParameters(checkpoint.vectors[0].span());
  for (size_t i = 0; i < state.size(); ++i) *state[i].second = std::move(checkpoint.vectors[i + 1]);
  return absl::OkStatus();
}

}  // namespace weft
