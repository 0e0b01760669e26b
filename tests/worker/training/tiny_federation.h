// One site and its coordinator in a process: rounds of any scheme without files but checkpoints,
// with crashes and late orders where a test says so. What the coordinator answers is a function of
// what the site has sent.
#ifndef WEFT_TESTS_WORKER_TRAINING_TINY_FEDERATION_H_
#define WEFT_TESTS_WORKER_TRAINING_TINY_FEDERATION_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/parameters/fragment_range.h"
#include "proto/check.h"
#include "proto/round_schedule.h"
#include "tests/worker/training/tiny_site.h"

namespace weft {

struct TinyRun {
  std::vector<std::vector<float>> results;  // of each round
  std::vector<RoundStats> stats;
  std::map<uint64_t, float>
      losses;      // by the run's clock; a step that is done again replaces its own
  int events = 0;  // beginnings, steps and ends, done again or not
};

class TinyFederation {
 public:
  static constexpr uint32_t kRounds = 3, kSteps = 5;

  explicit TinyFederation(std::string shards) : shards_(std::move(shards)) {}

  // The scheme and whatever else a test asks for, in each order.
  std::function<void(RoundOrder*)> shape = [](RoundOrder*) {};
  // So many steps are tried before the order after `round` is there.
  std::function<uint32_t(uint64_t round)> late = [](uint64_t) { return 0u; };
  // Where the site is killed: after so many events. 0: never.
  int crash_at = 0;
  int checkpoint_every = 4;  // events
  std::string checkpoints;   // folder; needed by a crash

  TinyRun Run() {
    run_ = TinyRun();
    z_ = TinyVector(50);
    versions_.assign(FragmentCount(OrderOf(0).consensus()), 0);
    orders_.clear();
    Open();
    while (run_.results.size() < kRounds) {
      if (!Life()) continue;  // killed: it comes back
    }
    trainer_.reset();
    return std::move(run_);
  }

 private:
  // The z that each order was made with, as its digests name it.
  struct Given {
    RoundOrder order;
    ParameterVector z;
  };

  RoundOrder OrderOf(uint64_t round) const {
    RoundOrder order = TinyOrder(round, kSteps, kRounds);
    shape(&order);
    const uint32_t count = FragmentCount(order.consensus());
    order.set_fragment(static_cast<uint32_t>(round % count));
    return order;
  }

  const Given& Newest() {
    const uint64_t round = run_.results.size();
    auto [entry, made] = orders_.try_emplace(round);
    if (!made) return entry->second;
    RoundOrder order = OrderOf(round);
    order.clear_fragment_digests();
    for (size_t g = 0; g < versions_.size(); ++g) {
      const std::string name = std::to_string(g) + "-" + std::to_string(versions_[g]);
      if (g == order.fragment()) order.set_base_digest(name);
      if (versions_.size() > 1) order.add_fragment_digests(name);
    }
    entry->second = {order, z_.Clone()};
    return entry->second;
  }

  static Bases BasesOf(const Given& given) {
    Bases bases;
    const uint32_t count = FragmentCount(given.order.consensus());
    if (!given.order.anchor_digest().empty()) bases.anchor = TinyVector(70 + given.order.round());
    if (count == 1) {
      bases.base = given.z.Clone();
      return bases;
    }
    for (uint32_t g = 0; g < count; ++g) {
      const FragmentRange range = RangeOfFragment(given.z.size(), count, g);
      std::copy_n(given.z.data() + range.begin, range.size,
                  bases.fragments.emplace_back(range.size).data());
    }
    return bases;
  }

  // Of the round that ended: z goes half of the way to the site's vector, and a bit elsewhere.
  void Aggregate(const RoundOrder& order, absl::Span<const float> x) {
    const ParameterVector other = TinyVector(60 + order.round());
    const FragmentRange range = RangeOfFragment(z_.size(), versions_.size(), order.fragment());
    for (uint64_t i = 0; i < range.size; ++i) {
      float& z = z_.data()[range.begin + i];
      z = z + 0.5f * (x[i] - z) + 0.1f * other.data()[range.begin + i];
    }
    versions_[order.fragment()] = order.round() + 1;
  }

  void Open() {
    trainer_ = TinyTrainer(shards_);
    if (checkpoints.empty()) return;
    folder_.emplace(*CheckpointFolder::Open(checkpoints));
    std::vector<std::string> warnings;
    std::optional<Checkpoint> checkpoint = *folder_->LoadNewest(&warnings);
    if (!checkpoint.has_value()) return;
    const uint64_t round = checkpoint->header.order().round();
    const bool goes_on = round == run_.results.size() && !checkpoint->header.ended();
    std::string warning;
    WEFT_CHECK(
        trainer_->Resume(*std::move(checkpoint), goes_on ? BasesOf(Newest()) : Bases(), &warning)
            .ok());
  }

  // Counts an event: false where the site is killed at it.
  bool Event() {
    ++run_.events;
    if (run_.events == crash_at) {
      trainer_.reset();
      Open();
      return false;
    }
    if (folder_.has_value() && run_.events % checkpoint_every == 0) {
      WEFT_CHECK(trainer_->SaveCheckpoint(&*folder_).ok());
    }
    return true;
  }

  bool Step() {
    const absl::StatusOr<StepReport> report = trainer_->Step();
    WEFT_CHECK(report.ok());
    run_.losses[report->clock_step] = report->loss;
    return Event();
  }

  // What a site does until its next result is there; false: it was killed.
  bool Life() {
    if (trainer_->ended() && trainer_->order().round() + 1 == run_.results.size()) {
      while (trainer_->CanStepAhead() && trainer_->steps_ahead() < late(run_.results.size() - 1)) {
        if (!Step()) return false;
      }
    }
    const Given& given = Newest();
    const bool begun =
        trainer_->order().inner_steps() > 0 && trainer_->order().round() == given.order.round();
    if (!begun) {
      WEFT_CHECK(trainer_->BeginRound(given.order, BasesOf(given)).ok());
      if (!Event()) return false;
    }
    while (!trainer_->round_done()) {
      if (!Step()) return false;
    }
    WEFT_CHECK(trainer_->EndRound().ok());
    // As the worker does: the checkpoint, then the result, then more.
    if (folder_.has_value()) WEFT_CHECK(trainer_->SaveCheckpoint(&*folder_).ok());
    if (!Event()) return false;
    run_.results.push_back(Values(trainer_->result()));
    run_.stats.push_back(trainer_->stats());
    Aggregate(given.order, trainer_->result());
    return true;
  }

  std::string shards_;
  TinyRun run_;
  ParameterVector z_;
  std::vector<uint64_t> versions_;  // the round after which each fragment is as it is
  std::map<uint64_t, Given> orders_;
  std::optional<CheckpointFolder> folder_;
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace weft

#endif  // WEFT_TESTS_WORKER_TRAINING_TINY_FEDERATION_H_
