// The mean of changes none of which is longer than `clip_factor` times the cohort's median norm: a
// cap on a site's weight alone does not bound its influence, weight x norm does (Sun et al. 2019,
// "Can You Really Backdoor Federated Learning?", norm thresholding; the threshold is the median's,
// so that nobody has to guess it). What is clipped off a change stays with the base.
//
//   Mean::Create(ClipNorms(cohort, products, 2.0));
//
// Pure.
#ifndef WEFT_COORDINATOR_CORE_NORM_CLIPPED_MEAN_H_
#define WEFT_COORDINATOR_CORE_NORM_CLIPPED_MEAN_H_

#include "coordinator/core/aggregator.h"

namespace weft {

// p_k min(1, clip_factor * median / ||d_k||); of an even number the median is the mean of the
// middle two.
Cohort ClipNorms(const Cohort& cohort, const ChangeProducts& products, double clip_factor);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_NORM_CLIPPED_MEAN_H_
