// The learning rate and the pull of an inner step, as functions of the run's step clock. Pure.
//
// The clock counts the steps of the run, not those of a site: a site that was away for two rounds
// comes back to the learning rate that the others have.
#ifndef WEFT_WORKER_TRAINING_SCHEDULE_H_
#define WEFT_WORKER_TRAINING_SCHEDULE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "proto/pull_strength.h"
#include "proto/run_manifest.pb.h"
#include "proto/site.pb.h"

namespace weft {

// What a worker can do: sizes and rates in range, an order of this protocol. InvalidArgument names
// the field and what is allowed. (The model's own fields are checked where its layout is made.)
absl::Status CheckOrder(const RoundOrder& order);

// Linear warm-up to learning_rate at step warmup_steps - 1, then a cosine down to learning_rate_min
// at total_steps, and learning_rate_min from there on.
double LearningRate(const InnerTraining& training, uint64_t step, uint64_t total_steps);

// The factor on the learning rate of a site whose inner state was cold when the run was already
// under way: min(1, (own steps since + 1) / warmup_after_join_steps).
double JoinFactor(const InnerTraining& training, uint64_t own_steps);

// The strength of the pull (proto/pull_strength.h) in force in an order: its own rho, where it
// names one.
double PullStrength(const RoundOrder& order);

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_SCHEDULE_H_
