// What is known of the cells that are done: a JSON line each in OUT/records.jsonl, written durably
// when its cell is done, so that a comparison that was stopped goes on where it stood.
//
//   absl::StatusOr<std::vector<Record>> records = ReadRecords("out/records.jsonl");
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_RECORDS_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_RECORDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weft::comparison {

struct SiteRecord {
  std::string name;
  uint64_t text_bytes = 0;  // that it may train on
  uint64_t text_tokens = 0;
  uint64_t held_out_bytes = 0;  // that were scored
  uint64_t tokens = 0;          // trained on
  uint64_t rounds = 0;          // contributions that are part of a consensus
  uint64_t bytes_up = 0;
  uint64_t bytes_down = 0;
  double consensus = 0;       // bits per byte of the consensus on the site's held-out text
  std::optional<double> own;  // of the site's own vector on it
  std::optional<double> own_on_pooled;
};

struct Record {
  std::string cell;
  std::string group;
  std::string kind;    // federation | pooled | all-reduce | alone
  std::string scheme;  // as the manifest says it
  uint64_t seed = 0;
  uint32_t steps = 0;        // of each site
  uint32_t inner_steps = 0;  // H; 0: no rounds
  uint64_t rounds = 0;
  uint64_t tokens = 0;  // of all sites
  uint64_t parameters = 0;
  bool has_consensus = true;               // alone: none
  double pooled = 0;                       // bits per byte of the consensus on all held-out text
  double pooled_low = 0, pooled_high = 0;  // 95 %, over the text
  std::vector<SiteRecord> sites;
  double seconds_training = 0;
  double seconds_scoring = 0;
  std::string version;
  std::string command;
};

std::string PrintRecord(const Record& record);  // one line, without its end
absl::StatusOr<Record> ParseRecord(absl::string_view line);

// None where there is no file. A line without an end (of a writer that died) is left out.
absl::StatusOr<std::vector<Record>> ReadRecords(const std::string& path);
// The file is replaced by one that has the record as well.
absl::Status AppendRecord(const std::string& path, const Record& record);

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_RECORDS_H_
