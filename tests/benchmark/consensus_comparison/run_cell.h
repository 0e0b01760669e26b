// Does one cell of the comparison: trains as its line says, scores what came of it, and says it as
// a record.
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_RUN_CELL_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_RUN_CELL_H_

#include <functional>

#include "absl/status/statusor.h"
#include "tests/benchmark/consensus_comparison/cells.h"
#include "tests/benchmark/consensus_comparison/records.h"
#include "tests/benchmark/consensus_comparison/setting.h"
#include "tests/benchmark/consensus_comparison/site_data.h"

namespace weft::comparison {

// Share of the training that is done, 0 to 1.
using Progress = std::function<void(double done)>;

// The same record for the same cell, setting, data and code, but for the seconds.
absl::StatusOr<Record> RunCell(const Cell& cell, const Setting& setting, const SiteData& data,
                               const Progress& progress);

// How much slower than a second a step the sites of an asynchronous federation are, drawn from the
// seed: 1 to 2. Where sites wait for each other it decides nothing.
std::vector<double> SecondsPerStep(uint64_t seed, size_t sites);

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_RUN_CELL_H_
