#include "tests/testing/quadratic_solver.h"

#include <algorithm>
#include <utility>

#include "proto/check.h"
#include "worker/training/schedule.h"

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

double QuadraticSolver::Loss(absl::Span<const float> w) const {
  double loss = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const double distance = w[i] - problem_.optimum[i];
    loss += problem_.curvature[i] * distance * distance / 2;
  }
  return loss;
}

void QuadraticSolver::Mix(const RoundOrder& order, const ParameterVector& base) {
  const double alpha = order.consensus().alpha();
  if (w_.size() == 0) {
    w_ = base.Clone();
    return;
  }
  const bool previous = order.consensus().mix_with() == "previous";
  const ParameterVector& z = previous ? previous_base_ : base;
  if (alpha == 1) {
    std::copy(z.span().begin(), z.span().end(), w_.data());
    return;
  }
  for (uint64_t i = 0; i < w_.size(); ++i) {
    const double w = w_.data()[i];
    w_.data()[i] = static_cast<float>(w + alpha * (z.data()[i] - w));
  }
}

absl::StatusOr<Solution> QuadraticSolver::Solve(const RoundOrder& order, OrderVectors vectors) {
  WEFT_CHECK(vectors.base.size() == problem_.optimum.size());
  const uint32_t steps = order.steps_enough() > 0 ? order.steps_enough() : order.inner_steps();
  const double rate = order.training().learning_rate();
  const double rho =
      order.rho() > 0 ? order.rho() : PullStrength(order.consensus(), order.inner_steps(), rate);
  Mix(order, vectors.base);
  Solution solution{.inner_steps = steps, .token_count = steps};
  solution.first_loss = Loss(w_.span());
  for (uint32_t step = 0; step < steps; ++step) {
    for (uint64_t i = 0; i < w_.size(); ++i) {
      const double w = w_.data()[i];
      const double u = w - rate * problem_.curvature[i] * (w - problem_.optimum[i]);
      w_.data()[i] =
          static_cast<float>((u + rate * rho * vectors.base.data()[i]) / (1 + rate * rho));
    }
  }
  solution.last_loss = Loss(w_.span());
  solution.vector = w_.Clone();
  previous_base_ = std::move(vectors.base);
  return solution;
}

}  // namespace weft::testing
