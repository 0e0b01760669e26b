// The consensus once more, by plain loops that share no code with the coordinator's. Pure.
//
//   combined = sum_k p_k x_k, in double, in site order;  z' = outer(z, combined);  encoded as the
//   manifest's way down says, the decoded value being the consensus.
#ifndef WEFT_TESTS_SIMULATION_RECOMPUTE_H_
#define WEFT_TESTS_SIMULATION_RECOMPUTE_H_

#include <string>
#include <vector>

#include "tests/simulation/scenario.h"
#include "tests/simulation/vectors.h"

namespace weft::simulation {

struct PlainConsensus {
  std::string digest;  // bytes
  Vector z, momentum, residual;
};
struct PlainContribution {
  double weight = 0;  // the member's; 0: every site counts the same
  Vector x;
};

PlainConsensus PlainOuterStep(const Scenario& scenario, const PlainConsensus& base,
                              const std::vector<PlainContribution>& contributions);

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_RECOMPUTE_H_
