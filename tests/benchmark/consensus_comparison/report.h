// The comparison's report: Markdown tables and SVG plots from the records in a folder.
//
//   absl::Status status = WriteReport("comparison");   // report.md, ranking.svg, bytes.svg,
//   sites.svg
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_REPORT_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tests/benchmark/consensus_comparison/records.h"
#include "tests/benchmark/consensus_comparison/svg_plot.h"

namespace weft::comparison {

// FailedPrecondition where the folder has no records yet.
absl::Status WriteReport(const std::string& out);

// `pairs` may be empty. Pure, and so are those below.
std::string PrintReport(absl::Span<const Record> records, absl::Span<const Record> pairs);
RowPlot RankingPlot(absl::Span<const Record> records);
PointPlot BytesPlot(absl::Span<const Record> records);
// Of the best federation: what each site gets from it, beside its own training.
RowPlot SitesPlot(absl::Span<const Record> records);

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_REPORT_H_
