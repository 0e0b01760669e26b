// What of a Trainer its checkpoint holds, and how it goes on from one.
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/digest.h"
#include "worker/training/trainer.h"

namespace weft {

absl::Status Trainer::SaveCheckpoint(CheckpointFolder* folder) {
  WEFT_CHECK(optimizer_ != nullptr);
  CheckpointHeader header;
  header.set_version(1);
  header.set_layout_digest(ToHex(layout().digest()));
  *header.mutable_order() = order_;
  header.set_steps_done(steps_done_);
  header.set_ended(ended_);
  header.set_optimizer(optimizer_->name());
  header.set_optimizer_steps(optimizer_->steps());
  header.set_cold_step(cold_step_);
  header.set_data_position(next_sample_step() * order_.training().batch_size());
  header.set_sample_count(data_.sample_count());
  header.set_first_loss_sum(first_loss_sum_);
  header.set_last_loss_sum(last_loss_sum_);
  header.set_newest_loss(newest_loss_);
  header.set_seconds_training(seconds_training_);
  header.set_seconds_waiting(seconds_waiting_);
  header.set_seconds_ahead(ahead_seconds_);
  header.set_validation_before(validation_before_);
  header.set_validation_after(validation_after_);
  header.set_rho(mixer_.rho());
  header.set_taken(mixer_.taken());
  for (const std::string& digest : mixer_.taken_digests()) header.add_taken_digests(digest);

  std::vector<absl::Span<const float>> vectors;
  const auto add = [&](const std::string& name, absl::Span<const float> values) {
    CheckpointVector* vector = header.add_vectors();
    vector->set_name(name);
    vector->set_element_count(values.size());
    vectors.push_back(values);
  };
  add("w", vector());
  for (const auto& [name, state] : optimizer_->State()) add(name, state->span());
  if (!mixer_.kept().empty()) add("z", mixer_.kept());
  if (!ahead_losses_.empty()) add("losses_ahead", ahead_losses_);
  return folder->Save(header, vectors);
}

absl::Status Trainer::Resume(Checkpoint checkpoint, Bases bases, std::string* warning) {
  WEFT_CHECK(order_.inner_steps() == 0);
  const CheckpointHeader& header = checkpoint.header;
  if (absl::Status status = CheckFits(header.order()); !status.ok()) return status;
  TakeOrder(header.order());
  std::map<std::string, ParameterVector> vectors;
  for (size_t i = 0; i < checkpoint.vectors.size(); ++i) {
    vectors[header.vectors(static_cast<int>(i)).name()] = std::move(checkpoint.vectors[i]);
  }
  const ParameterVector ahead = std::move(vectors["losses_ahead"]);
  const uint64_t element_count = layout().element_count();
  const auto state = optimizer_->State();
  bool fits = header.layout_digest() == ToHex(layout().digest()) &&
              header.optimizer() == optimizer_->name() &&
              header.steps_done() <= header.order().inner_steps() &&
              ahead.size() <= header.order().consensus().fragment_delay_steps() &&
              vectors["w"].size() == element_count &&
              (vectors["z"].size() == 0 || vectors["z"].size() == element_count);
  for (const auto& [name, values] : state) fits &= vectors[name].size() == element_count;
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
  steps_done_ = header.steps_done();
  ended_ = header.ended();
  ahead_losses_.assign(ahead.span().begin(), ahead.span().end());
  ahead_seconds_ = header.seconds_ahead();
  cold_step_ = header.cold_step();
  first_loss_sum_ = header.first_loss_sum();
  last_loss_sum_ = header.last_loss_sum();
  newest_loss_ = header.newest_loss();
  seconds_training_ = header.seconds_training();
  seconds_waiting_ = header.seconds_waiting();
  validation_before_ = header.validation_before();
  validation_after_ = header.validation_after();
  optimizer_->set_steps(header.optimizer_steps());
  model_->LoadParameters(vectors["w"].span());
  for (const auto& [name, values] : state) *values = std::move(vectors[name]);
  mixer_.Resume(order_, std::move(bases), std::move(vectors["z"]),
                {header.taken_digests().begin(), header.taken_digests().end()}, header.rho(),
                header.taken());
  return absl::OkStatus();
}

}  // namespace weft
