// Does the cells that are asked for and not done yet, one after the other, within a budget of time;
// and the pairs: one cell with two encodings, paired by seed and data order.
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_COMPARISON_RUN_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_COMPARISON_RUN_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tests/benchmark/consensus_comparison/records.h"
#include "tests/benchmark/consensus_comparison/setting.h"

namespace weft::comparison {

struct RunRequest {
  Setting setting;
  std::vector<std::string> cells;  // names; empty: all, and the best two once more with int4
  double budget_minutes = 0;  // no cell begins that would end later, by those before it; 0: none
};

// OUT/records.jsonl gets a line a cell. FailedPrecondition where it has cells of another setting.
absl::Status RunCells(const RunRequest& request);

// OUT/pairs.jsonl gets two lines a seed: proximal-h10 with parameters_fp32, and with delta_int4.
absl::Status RunPairs(const Setting& setting, absl::Span<const uint64_t> seeds,
                      double budget_minutes);

std::string RecordsFile(const std::string& out);
std::string PairsFile(const std::string& out);

// The names of the (at most) `count` federations with plain encodings whose consensus is best.
std::vector<std::string> BestCells(absl::Span<const Record> records, size_t count);

// Relative differences of pooled bits per byte, second cell against first, of the seeds that have
// both, and their mean with a 95 % interval (Student's t; one seed has none). Pure.
struct PairedDifference {
  std::vector<uint64_t> seeds;
  std::vector<double> differences;  // 0.001: a tenth of a percent worse
  double mean = 0;
  std::optional<double> half_width;
};
PairedDifference ComparePairs(absl::Span<const Record> records, const std::string& first,
                              const std::string& second);

inline constexpr char kPairedCell[] = "proximal-h10";
inline constexpr char kPairedEncoding[] = "delta_int4";

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_COMPARISON_RUN_H_
