// Remembers what passes through a solver, for tests that look at every round.
#ifndef WEFT_TESTS_TESTING_RECORDING_SOLVER_H_
#define WEFT_TESTS_TESTING_RECORDING_SOLVER_H_

#include <memory>
#include <utility>
#include <vector>

#include "tests/testing/local_solver.h"

namespace weft::testing {

struct SolvedOrder {
  RoundOrder order;
  std::vector<float> base;    // of an order whose vector is not cut
  std::vector<float> vector;  // the site's, after it
};
using SolvedOrders = std::vector<SolvedOrder>;

class RecordingSolver final : public LocalSolver {
 public:
  RecordingSolver(std::unique_ptr<LocalSolver> solver, SolvedOrders* orders)
      : solver_(std::move(solver)), orders_(orders) {}

  absl::StatusOr<Solution> Solve(const RoundOrder& order, Bases bases) override {
    const absl::Span<const float> base = bases.base.span();
    SolvedOrder solved{.order = order, .base = {base.begin(), base.end()}};
    absl::StatusOr<Solution> solution = solver_->Solve(order, std::move(bases));
    solved.vector.assign(vector().begin(), vector().end());
    orders_->push_back(std::move(solved));
    return solution;
  }
  absl::Span<const float> vector() const override { return solver_->vector(); }

 private:
  std::unique_ptr<LocalSolver> solver_;
  SolvedOrders* const orders_;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_RECORDING_SOLVER_H_
