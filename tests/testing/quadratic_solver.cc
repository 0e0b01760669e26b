#include "tests/testing/quadratic_solver.h"

namespace weft::testing {

std::vector<double> PooledOptimum(const std::vector<Quadratic>& problems) {
  std::vector<double> optimum(problems.front().optimum.size());
  for (size_t i = 0; i < optimum.size(); ++i) {
    double weighted = 0, curvature = 0;
    for (const Quadratic& problem : problems) {
      weighted += problem.curvature[i] * problem.optimum[i];
      curvature += problem.curvature[i];
    }
    optimum[i] = weighted / curvature;
  }
  return optimum;
}

double QuadraticSolver::Loss() const {
  double loss = 0;
  for (size_t i = 0; i < w_.size(); ++i) {
    const double distance = w_.data()[i] - problem_.optimum[i];
    loss += problem_.curvature[i] * distance * distance / 2;
  }
  return loss;
}

void QuadraticSolver::Step(double rate) {
  const double pull = rate * mixer_.rho();
  const float* z = mixer_.target();
  for (uint64_t i = 0; i < w_.size(); ++i) {
    const double w = w_.data()[i];
    const double u = w - rate * problem_.curvature[i] * (w - problem_.optimum[i]);
    w_.data()[i] = static_cast<float>(z == nullptr ? u : (u + pull * z[i]) / (1 + pull));
  }
}

absl::StatusOr<Solution> QuadraticSolver::Solve(const RoundOrder& order, Bases bases) {
  const uint32_t steps = order.steps_enough() > 0 ? order.steps_enough() : order.inner_steps();
  mixer_.Begin(order, std::move(bases), 0, w_.span());
  Solution solution{.inner_steps = steps, .token_count = steps, .first_loss = Loss()};
  for (uint32_t step = 1; step <= steps; ++step) {
    Step(order.training().learning_rate());
    mixer_.TakeWhenDue(step, w_.span());
  }
  solution.last_loss = Loss();
  return solution;
}

}  // namespace weft::testing
