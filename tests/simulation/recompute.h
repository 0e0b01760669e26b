// The consensus once more, by plain loops that share no code with the coordinator's. Pure.
//
//   combined = sum_k p_k s_k x_k + (p_z + sum_k p_k (1 - s_k)) z, in double, in site order, where
//   s_k are the scales of normalised steps and p_z is the base's own part (a late one that is
//   discounted, sites with a dual that are absent); or the trimmed mean or median of each
//   coordinate's z + s_k (x_k - z), sorted; or the one that Krum selects; norms clipped or not.
//   z' = outer(z, combined);  encoded as the manifest's way down says, the decoded value being the
//   consensus.
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
  uint32_t fragment = 0;
};
struct PlainContribution {
  std::string site;
  double weight = 1;  // the member's
  uint64_t token_count = 0;
  uint32_t inner_steps = 0;
  uint64_t staleness = 0;
  Vector x;
};

// `all_members`: the sum of the weights of a membership without those revoked.
PlainConsensus PlainOuterStep(const Scenario& scenario, const PlainConsensus& base,
                              const std::vector<PlainContribution>& contributions,
                              double all_members);

// To a grid of `format` around z and back: what is left of `next` when it has travelled.
void PlainRounding(VectorFormat format, const Vector& z, Vector* next);

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_RECOMPUTE_H_
