// Sites with convex problems, whose optima are known in closed form, for tests of what the schemes
// promise:
//
//   f_k(w) = 1/2 sum_i a_ki (w_i - c_ki)^2          gradient  a_ki (w_i - c_ki)
//   argmin sum_k p_k f_k = (sum_k p_k a_ki c_ki) / (sum_k p_k a_ki)      for each i
//
// The solver takes its orders as the trainer does: mixes, steps (plain SGD at training's learning
// rate, constant), and pulls.
#ifndef WEFT_TESTS_TESTING_QUADRATIC_SOLVER_H_
#define WEFT_TESTS_TESTING_QUADRATIC_SOLVER_H_

#include <cstdint>
#include <vector>

#include "tests/testing/local_solver.h"

namespace weft::testing {

struct Quadratic {
  std::vector<double> curvature;  // a, above 0
  std::vector<double> optimum;    // c
};

// The optimum of all together, with equal weights.
std::vector<double> PooledOptimum(const std::vector<Quadratic>& problems);

class QuadraticSolver final : public LocalSolver {
 public:
  explicit QuadraticSolver(Quadratic problem) : problem_(std::move(problem)) {}

  absl::StatusOr<Solution> Solve(const RoundOrder& order, OrderVectors vectors) override;
  double Loss(absl::Span<const float> w) const;

 private:
  void Mix(const RoundOrder& order, const ParameterVector& base);

  const Quadratic problem_;
  ParameterVector w_;              // empty: no order came yet
  ParameterVector previous_base_;  // of the order before
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_QUADRATIC_SOLVER_H_
