// One federation from its seed to its end: the coordinator, its sites, what goes wrong, and the
// checkers.
//
//   FederationResult result = RunFederation(17, no_mutation, /*tracing=*/false);
//   if (!result.violation.checker.empty()) ...
#ifndef WEFT_TESTS_SIMULATION_FEDERATION_H_
#define WEFT_TESTS_SIMULATION_FEDERATION_H_

#include <cstdint>

#include "tests/simulation/checkers.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/mutation.h"

namespace weft::simulation {

struct FederationResult {
  Violation violation;
  uint64_t rounds = 0;
  uint64_t sites = 0;
  FaultCounts faults{};
};

FederationResult RunFederation(uint64_t seed, const Mutation& mutation, bool tracing);

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_FEDERATION_H_
