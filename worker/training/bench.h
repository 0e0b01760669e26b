// How fast this machine trains a model of a given shape, next to the floor: the step's
// floating-point operations over the measured rate of matrix products.
#ifndef WEFT_WORKER_TRAINING_BENCH_H_
#define WEFT_WORKER_TRAINING_BENCH_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "proto/run_manifest.pb.h"

namespace weft {

struct BenchOptions {
  ModelConfig model;
  int batch_size = 8;
  int sequence_length = 128;
  int steps = 10;  // after two that are not counted
};

struct BenchReport {
  uint64_t parameters = 0;
  double tokens_per_second = 0;
  double gradients_share = 0;  // of a step's time: forward and backward; the rest is the optimizer
  double flops_per_token = 0;
  double matmul_flops = 0;             // a second, measured
  double floor_tokens_per_second = 0;  // matmul_flops / flops_per_token
};

// Operations of forward and backward for one token: 6 for each parameter that a matrix product uses
// (2 forward, 4 backward; the embedding's lookup is none), and 6 * length * heads * head_dimension
// a layer for causal attention (12 of full attention, half of it masked).
double FlopsPerToken(const ModelConfig& model, int sequence_length);

absl::StatusOr<BenchReport> Bench(const BenchOptions& options);

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_BENCH_H_
