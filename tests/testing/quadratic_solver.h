// Sites with convex problems, whose optima are known in closed form, for tests of what the schemes
// promise:
//
//   f_k(w) = 1/2 sum_i a_ki (w_i - c_ki)^2          gradient  a_ki (w_i - c_ki)
//   argmin sum_k p_k f_k = (sum_k p_k a_ki c_ki) / (sum_k p_k a_ki)      for each i
//
// Takes its orders by the trainer's own rules (base_mixer.h); a step is plain gradient descent at
// training's learning rate, which stays, and then the pull.
#ifndef WEFT_TESTS_TESTING_QUADRATIC_SOLVER_H_
#define WEFT_TESTS_TESTING_QUADRATIC_SOLVER_H_

#include <utility>
#include <vector>

#include "model/parameters/parameter_vector.h"
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
  explicit QuadraticSolver(Quadratic problem)
      : problem_(std::move(problem)),
        w_(problem_.optimum.size()),
        mixer_(problem_.optimum.size()) {}

  absl::StatusOr<Solution> Solve(const RoundOrder& order, Bases bases) override;
  absl::Span<const float> vector() const override { return w_.span(); }

 private:
  double Loss() const;
  void Step(double rate);

  const Quadratic problem_;
  ParameterVector w_;
  BaseMixer mixer_;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_QUADRATIC_SOLVER_H_
