// Bits per byte of parameter vectors on the sites' held-out texts, with the scorer of weft-eval.
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SCORING_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SCORING_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eval/text_score.h"
#include "tests/benchmark/consensus_comparison/site_data.h"
#include "tests/testing/worker_threads.h"

namespace weft::comparison {

struct VectorScore {
  std::vector<TextScore> sites;  // in the order of data.sites
  TextScore pooled;              // all of them as one text
};

// A score for each vector. Vectors are scored side by side, each on one thread.
absl::StatusOr<std::vector<VectorScore>> ScoreVectors(
    absl::Span<const absl::Span<const float>> vectors, const SiteData& data,
    testing::WorkerThreads* threads);

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SCORING_H_
