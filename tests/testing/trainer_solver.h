// The production trainer as the solver of a site in an in-process federation.
#ifndef WEFT_TESTS_TESTING_TRAINER_SOLVER_H_
#define WEFT_TESTS_TESTING_TRAINER_SOLVER_H_

#include <memory>
#include <utility>

#include "model/transformer.h"
#include "tests/testing/local_solver.h"
#include "worker/training/trainer.h"

namespace weft::testing {

class TrainerSolver final : public LocalSolver {
 public:
  // A fresh trainer.
  explicit TrainerSolver(std::unique_ptr<Trainer> trainer) : trainer_(std::move(trainer)) {}

  absl::StatusOr<Solution> Solve(const RoundOrder& order, Bases bases) override {
    // LibTorch counts its threads for each of ours: one, so that sites can train side by side.
    SetComputeThreads(1);
    absl::Status status = trainer_->BeginRound(order, std::move(bases));
    if (!status.ok()) return status;
    while (!trainer_->round_done()) {
      if (order.steps_enough() > 0 && trainer_->steps_done() >= order.steps_enough()) break;
      if (absl::StatusOr<StepReport> step = trainer_->Step(); !step.ok()) return step.status();
    }
    status = trainer_->EndRound();
    if (!status.ok()) return status;
    const RoundStats stats = trainer_->stats();
    return Solution{.inner_steps = stats.inner_steps,
                    .token_count = stats.token_count,
                    .first_loss = stats.first_loss,
                    .last_loss = stats.last_loss,
                    .validation_before = stats.validation_before,
                    .validation_after = stats.validation_after,
                    .seconds = stats.seconds_training};
  }
  absl::Span<const float> vector() const override { return trainer_->vector(); }

 private:
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_TRAINER_SOLVER_H_
