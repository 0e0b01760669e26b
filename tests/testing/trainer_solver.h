// The production trainer as the solver of a site in an in-process federation.
#ifndef WEFT_TESTS_TESTING_TRAINER_SOLVER_H_
#define WEFT_TESTS_TESTING_TRAINER_SOLVER_H_

#include <algorithm>
#include <memory>
#include <utility>

#include "tests/testing/local_solver.h"
#include "worker/training/trainer.h"

namespace weft::testing {

class TrainerSolver final : public LocalSolver {
 public:
  // A fresh trainer.
  explicit TrainerSolver(std::unique_ptr<Trainer> trainer) : trainer_(std::move(trainer)) {}

  absl::StatusOr<Solution> Solve(const RoundOrder& order, OrderVectors vectors) override {
    // LibTorch counts its threads for each of ours: one, so that sites can train side by side.
    SetComputeThreads(1);
    absl::Status begun = trainer_->BeginRound(order, std::move(vectors.base));
    if (!begun.ok()) return begun;
    while (!trainer_->round_done()) {
      if (order.steps_enough() > 0 && trainer_->steps_done() >= order.steps_enough()) break;
      if (absl::StatusOr<StepReport> step = trainer_->Step(); !step.ok()) return step.status();
    }
    const RoundStats stats = trainer_->stats();
    Solution solution{.inner_steps = stats.inner_steps,
                      .token_count = stats.token_count,
                      .first_loss = stats.first_loss,
                      .last_loss = stats.last_loss,
                      .seconds = stats.seconds_training};
    solution.vector = ParameterVector(trainer_->vector().size());
    std::copy(trainer_->vector().begin(), trainer_->vector().end(), solution.vector.data());
    return solution;
  }

 private:
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_TRAINER_SOLVER_H_
