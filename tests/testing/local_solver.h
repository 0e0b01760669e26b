// What a site of an in-process federation trains with: an order and the vectors that it names go
// in, the site's result comes out. The production trainer is one (trainer_solver.h), convex
// problems of tests are others (quadratic_solver.h).
//
// A solver belongs to one site and keeps what the site keeps between orders: its own vector and its
// inner state. It is called by one thread at a time, not always the same.
#ifndef WEFT_TESTS_TESTING_LOCAL_SOLVER_H_
#define WEFT_TESTS_TESTING_LOCAL_SOLVER_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "proto/site.pb.h"
#include "worker/training/base_mixer.h"

namespace weft::testing {

// What a result says beside its vector.
struct Solution {
  uint32_t inner_steps = 0;
  uint64_t token_count = 0;
  double first_loss = 0;
  double last_loss = 0;
  double validation_before = 0;
  double validation_after = 0;
  double seconds = 0;
};

class LocalSolver {
 public:
  virtual ~LocalSolver() = default;
  // Does the order: inner_steps of it, or steps_enough where the order names so many. `bases` holds
  // all that the order names.
  virtual absl::StatusOr<Solution> Solve(const RoundOrder& order, Bases bases) = 0;
  // The site's own vector, whole, as the newest order left it.
  virtual absl::Span<const float> vector() const = 0;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_LOCAL_SOLVER_H_
