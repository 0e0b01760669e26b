// rho of (rho/2) ||w - z||^2, from whichever of rho and pull the scheme gives; 0: no pull.
//
//   pull:  rho = ((1 - pull)^(-1/(F H)) - 1) / learning_rate
//
// so that the F H steps between two exchanges of a parameter (F fragments, H steps a round), at the
// peak learning rate and without gradients, take w exactly `pull` of the way to z. At the smaller
// rates of warm-up and cosine it is less: the pull keeps its proportion to the steps of the
// optimizer.
#ifndef WEFT_PROTO_PULL_STRENGTH_H_
#define WEFT_PROTO_PULL_STRENGTH_H_

#include <cmath>
#include <cstdint>

#include "proto/round_schedule.h"
#include "proto/run_manifest.pb.h"

namespace weft {

inline double PullStrength(const ConsensusScheme& scheme, uint32_t inner_steps,
                           double learning_rate_peak) {
  if (scheme.pull() == 0) return scheme.rho();
  const double steps = static_cast<double>(inner_steps) * FragmentCount(scheme);
  return std::expm1(-std::log1p(-scheme.pull()) / steps) / learning_rate_peak;
}

}  // namespace weft

#endif  // WEFT_PROTO_PULL_STRENGTH_H_
