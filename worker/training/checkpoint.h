// A worker's checkpoint: one file that holds the site vector, the optimizer's state and where in
// the run they stand.
//
//   "weftckp1" | u64 header bytes | header: CheckpointHeader as text format | vectors, fp32 |
//   SHA-256 of all before
//
// Integers and floats little-endian. `head -c 2000 FILE` shows the header. Written durably
// (temporary name, synced, renamed); the last two that are known to be good are kept, and a damaged
// one falls back to the one before it.
//
//   auto folder = CheckpointFolder::Open("site/checkpoints");
//   auto newest = folder->LoadNewest(&warnings);              // once, before saving
//   folder->Save(header, {w, m, v});
//
// One thread, and one process (the worker's lock sees to that).
#ifndef WEFT_WORKER_TRAINING_CHECKPOINT_H_
#define WEFT_WORKER_TRAINING_CHECKPOINT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_vector.h"
#include "worker/training/checkpoint.pb.h"

namespace weft {

struct Checkpoint {
  CheckpointHeader header;
  std::vector<ParameterVector> vectors;  // as header.vectors() lists them
};

// Requires vectors as header.vectors() lists them.
absl::Status WriteCheckpoint(const std::string& path, const CheckpointHeader& header,
                             absl::Span<const absl::Span<const float>> vectors);
// DataLoss says what is wrong. Every length is checked against the file's before memory is taken.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path);

class CheckpointFolder {
 public:
  static absl::StatusOr<CheckpointFolder> Open(std::string folder);

  // The newest that is whole; none where there is no checkpoint. Each damaged one adds a sentence
  // to `warnings`. DataLoss when there are checkpoints and all are damaged: starting cold is then
  // for a person to decide.
  absl::StatusOr<std::optional<Checkpoint>> LoadNewest(std::vector<std::string>* warnings);
  // Writes the next one, and removes all but it and the last good one before it.
  absl::Status Save(const CheckpointHeader& header,
                    absl::Span<const absl::Span<const float>> vectors);

 private:
  explicit CheckpointFolder(std::string folder) : folder_(std::move(folder)) {}
  std::string PathOf(uint64_t number) const;
  absl::StatusOr<std::vector<uint64_t>> Numbers() const;  // ascending

  std::string folder_;
  std::optional<uint64_t> good_;  // the newest that we read whole or wrote
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_CHECKPOINT_H_
