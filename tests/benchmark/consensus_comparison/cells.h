// The cells of the comparison as a table: a scheme, its H, and what differs from its preset. A cell
// more is a line more in cells.cc.
//
//   absl::StatusOr<Cell> cell = FindCell("proximal-h10+delta_int4");
//   absl::StatusOr<RunManifest> manifest = ManifestOf(*cell, setting, sites, tokenizer_sha256);
//
// A name may end in "+ENCODING": the same cell with this encoding both ways. Pure.
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_CELLS_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_CELLS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/benchmark/consensus_comparison/setting.h"

namespace weft::comparison {

enum class Kind {
  kFederation,
  kPooled,     // one trainer, the samples of all sites
  kAllReduce,  // a step of AdamW on the mean gradient of all sites' batches
  kAlone,      // each site for itself
};

struct Cell {
  std::string name;
  Kind kind = Kind::kFederation;
  std::string preset;
  uint32_t inner_steps = 0;  // H
  // Another H for the first part of the run, so many percent of its steps. 0: none.
  uint32_t early_inner_steps = 0;
  uint32_t early_percent = 0;
  std::string changes;   // to the preset: RunManifest, text format
  std::string encoding;  // both ways
  std::string group;     // the part of the report that it belongs to
};

std::vector<Cell> AllCells();
// NotFound lists the names.
absl::StatusOr<Cell> FindCell(absl::string_view name);

// The run that a federation's cell stands for. InvalidArgument where a run must not be so, or its
// steps cannot be divided into rounds.
absl::StatusOr<RunManifest> ManifestOf(const Cell& cell, const Setting& setting, uint32_t sites,
                                       const std::string& tokenizer_sha256);
// Scheme, rounds and encodings in one line, as the manifest says them; for references, in words.
std::string Describe(const Cell& cell, const RunManifest& manifest);

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_CELLS_H_
