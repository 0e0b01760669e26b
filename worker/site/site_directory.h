// The folder through which gate and worker of a site meet. It may lie on a shared file system
// between two machines: both sides poll, every file is written under a temporary name, synced and
// renamed, and vectors are named by their digest.
//
//   DIR/orders/round-000012.textproto    RoundOrder, written by the gate
//   DIR/results/round-000012.textproto   RoundResult, written by the worker
//   DIR/blobs/<digest>                   bases (from the gate) and site vectors (from the worker),
//                                        or fragments of them: parameters_fp32
//   DIR/progress.textproto               WorkerProgress, rewritten by the worker
//   DIR/stop                             its text is the reason: the run is over, the worker ends
//   DIR/worker.lock                      "pid@host session" of the worker that may train; a second
//                                        one steps back
//   DIR/checkpoints/                     the worker's own
//   DIR/training_log.jsonl               the worker's own: one line an inner step
//
// Neither side trusts the other's files blindly: digests are checked when a vector is read. A blob
// is written before the order or result that names it.
//
//   auto site = SiteDirectory::Open("site");                           // both sides
//   auto digest = site->WriteVector(layout.digest(), vector.span());   // gate: the base, then
//   site->WriteOrder(order);                                           // the order that names it
//   auto lock = site->AcquireWorkerLock();                             // worker
//   auto order = site->NewestOrder();                                  // ... polled; trains ...
//   site->WriteResult(result);                                         // gate polls
//   ResultOf(round)
//
// Thread-safe: holds no state but names; the files are the state.
#ifndef WEFT_WORKER_SITE_SITE_DIRECTORY_H_
#define WEFT_WORKER_SITE_SITE_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_vector.h"
#include "proto/blob_directory.h"
#include "proto/digest.h"
#include "proto/site.pb.h"

namespace weft {

// Held while a worker runs; released by the kernel when its process ends, however it ends.
class WorkerLock {
 public:
  // A lock file of any path, made if it is not there. AlreadyExists names the process, machine and
  // session that hold it.
  static absl::StatusOr<std::unique_ptr<WorkerLock>> Acquire(const std::string& path);
  ~WorkerLock();
  WorkerLock(const WorkerLock&) = delete;
  WorkerLock& operator=(const WorkerLock&) = delete;

 private:
  explicit WorkerLock(int fd) : fd_(fd) {}
  int fd_;
};

// Which part of a vector of `element_count` elements: fragment `fragment` of `fragment_count`.
struct FragmentOf {
  uint64_t element_count = 0;
  uint32_t fragment_count = 1;
  uint32_t fragment = 0;
};

class SiteDirectory {
 public:
  // Makes what is missing.
  static absl::StatusOr<SiteDirectory> Open(std::string folder);

  const BlobDirectory& blobs() const { return blobs_; }
  std::string checkpoint_folder() const { return folder_ + "/checkpoints"; }
  std::string training_log() const { return folder_ + "/training_log.jsonl"; }
  const std::string& folder() const { return folder_; }

  absl::Status WriteOrder(const RoundOrder& order) const;
  // The order with the highest round, or none. DataLoss when that file is damaged or speaks of
  // another round.
  absl::StatusOr<std::optional<RoundOrder>> NewestOrder() const;

  absl::Status WriteResult(const RoundResult& result) const;
  absl::StatusOr<std::optional<RoundResult>> ResultOf(uint64_t round) const;
  // A result that is not there is removed already.
  absl::Status RemoveResult(uint64_t round) const;

  // A vector as parameters_fp32 in blobs(). Writing the same vector again changes nothing.
  absl::StatusOr<Digest> WriteVector(const Digest& layout, absl::Span<const float> vector) const;
  // NotFound; DataLoss with both digests when the bytes are not those that the name promises;
  // InvalidArgument when the vector is of another layout, or only a fragment of one.
  absl::StatusOr<ParameterVector> ReadVector(const Digest& digest, const Digest& layout) const;
  // The same for the elements of one fragment (model/parameters/fragment_range.h) of a vector.
  // InvalidArgument also when the blob is of another fragment or not of its length.
  absl::StatusOr<Digest> WriteFragment(const Digest& layout, const FragmentOf& of,
                                       absl::Span<const float> elements) const;
  absl::StatusOr<ParameterVector> ReadFragment(const Digest& digest, const Digest& layout,
                                               const FragmentOf& of) const;

  absl::Status WriteProgress(const WorkerProgress& progress) const;
  absl::StatusOr<std::optional<WorkerProgress>> Progress() const;

  absl::Status Stop(const std::string& reason) const;
  std::optional<std::string> StopReason() const;
  absl::Status ClearStop() const;

  // AlreadyExists names the process and machine that hold it.
  absl::StatusOr<std::unique_ptr<WorkerLock>> AcquireWorkerLock() const;

  // Removes the orders and results of rounds before `round`, and the vectors that only they name;
  // `keep` are digests (hex) to spare. A vector that nothing names is left: it may be about to be
  // named.
  absl::Status RemoveBefore(uint64_t round, const std::vector<std::string>& keep) const;

 private:
  SiteDirectory(std::string folder, BlobDirectory blobs)
      : folder_(std::move(folder)), blobs_(std::move(blobs)) {}
  std::string OrderPath(uint64_t round) const;
  std::string ResultPath(uint64_t round) const;
  absl::StatusOr<ParameterVector> ReadPart(const Digest& digest, const Digest& layout,
                                           uint32_t fragment_count, uint32_t fragment) const;

  std::string folder_;
  BlobDirectory blobs_;
};

}  // namespace weft

#endif  // WEFT_WORKER_SITE_SITE_DIRECTORY_H_
