// Which instruction sets Highway compiles for: included before "hwy/foreach_target.h". Sets with
// vectors of unknown length are left out, because sums over fixed lanes keep their accumulators in
// arrays; such machines (SVE, RISC-V V) run the fixed-size or the scalar version.
#ifndef WEFT_KERNELS_HIGHWAY_TARGETS_H_
#define WEFT_KERNELS_HIGHWAY_TARGETS_H_

#include "hwy/detect_targets.h"

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#endif  // WEFT_KERNELS_HIGHWAY_TARGETS_H_
