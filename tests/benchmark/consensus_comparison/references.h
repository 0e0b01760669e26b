// The trainings that a federation is held against, with the inner loop of the federations' sites
// (the same schedule, clipping and AdamW) and exactly the samples that they read: of each site the
// first steps x batch in its order.
//
//   all-reduce   a step takes the mean gradient of one batch from each site
//   pooled       a step takes one batch, its samples from the sites in turn
//   alone        a site's own batches only: a trainer of its own, no code here
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_REFERENCES_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_REFERENCES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/parameters/parameter_vector.h"
#include "proto/run_manifest.pb.h"
#include "tests/testing/worker_threads.h"
#include "tokenizer/token_shard_reader.h"

namespace weft::comparison {

// A site's sample by its number in the site's order.
struct SampleAt {
  size_t site = 0;
  uint64_t position = 0;
};
// A part of a step's batch that is computed as one; the parts of a step are of one size.
using Part = std::vector<SampleAt>;

std::vector<Part> AllReduceStep(size_t sites, uint32_t batch, uint64_t step);
// The batch in two halves, for two threads.
std::vector<Part> PooledStep(size_t sites, uint32_t batch, uint64_t step);

struct TogetherOptions {
  ModelConfig model;
  InnerTraining training;
  uint64_t seed = 1;  // of the sites' orders
  uint64_t steps = 0;
  std::vector<std::string> names;             // the sites' keys in the order of samples
  std::vector<const TokenDataset*> datasets;  // one a site
  std::function<std::vector<Part>(uint64_t step)> parts;
  std::function<void(uint64_t steps_done, double loss)> progress;
  int threads = 1;
};

// Synchronous training of one vector on the mean gradient of each step's parts, which is summed in
// their order: the result does not depend on the number of threads. OutOfRange where it diverges.
absl::StatusOr<ParameterVector> TrainTogether(const TogetherOptions& options,
                                              const ParameterVector& initial);

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_REFERENCES_H_
