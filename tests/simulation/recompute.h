// The consensus once more, by plain loops that share no code with the coordinator's. Pure.
//
//   combined = sum_k p_k s_k x_k + (sum_k p_k (1 - s_k)) z, in double, in site order, where s_k are
//   the scales of normalised steps; or the trimmed mean or median of each coordinate's
//   z + s_k (x_k - z), sorted;  z' = outer(z, combined);  encoded as the manifest's way down says,
//   the decoded value being the consensus.
#ifndef WEFT_TESTS_SIMULATION_RECOMPUTE_H_
#define WEFT_TESTS_SIMULATION_RECOMPUTE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/simulation/scenario.h"
#include "tests/simulation/vectors.h"

namespace weft::simulation {

struct PlainConsensus {
  std::string digest;  // bytes
  Vector z, momentum, second_moment, residual;
};
struct PlainContribution {
  double weight = 0;  // the member's; 0: every site counts the same
  uint32_t inner_steps = 0;
  Vector x;
};

PlainConsensus PlainOuterStep(const Scenario& scenario, const PlainConsensus& base,
                              std::vector<PlainContribution> contributions);

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_RECOMPUTE_H_
