// The folder through which gate and worker of a site meet. It may lie on a shared file system between two machines: both
// sides poll, every file is written under a temporary name, synced and renamed, and vectors are named by their digest.
//
//   DIR/orders/round-000012.textproto    RoundOrder, written by the gate
//   DIR/results/round-000012.textproto   RoundResult, written by the worker
//   DIR/blobs/<digest>                   bases (from the gate) and site vectors (from the worker), parameters_fp32
//   DIR/progress.textproto               WorkerProgress, rewritten by the worker
//   DIR/stop                             its text is the reason: the run is over, the worker ends
//   DIR/worker.lock                      the session of the worker that may train; a second one steps back
//   DIR/checkpoints/                     the worker's own
//
// Neither side trusts the other's files blindly: digests are checked when a vector is read.
#ifndef WEFT_WORKER_SITE_SITE_DIRECTORY_H_
#define WEFT_WORKER_SITE_SITE_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/blob_directory.h"
#include "proto/site.pb.h"

namespace weft {

// Held while a worker runs; released by the kernel when its process ends. Open by AcquireWorkerLock.
class WorkerLock {
 public:
  ~WorkerLock();
  WorkerLock(const WorkerLock&) = delete;
  WorkerLock& operator=(const WorkerLock&) = delete;

 private:
  friend class SiteDirectory;
  explicit WorkerLock(int fd) : fd_(fd) {}
  int fd_;
};

class SiteDirectory {
 public:
  // Makes what is missing.
  static absl::StatusOr<SiteDirectory> Open(std::string folder);

  const BlobDirectory& blobs() const { return blobs_; }
  std::string checkpoint_folder() const { return folder_ + "/checkpoints"; }
  const std::string& folder() const { return folder_; }

  absl::Status WriteOrder(const RoundOrder& order) const;
  // The order with the highest round, or none.
  absl::StatusOr<std::optional<RoundOrder>> NewestOrder() const;

  absl::Status WriteResult(const RoundResult& result) const;
  absl::StatusOr<std::optional<RoundResult>> ResultOf(uint64_t round) const;

  absl::Status WriteProgress(const WorkerProgress& progress) const;
  absl::StatusOr<std::optional<WorkerProgress>> Progress() const;

  absl::Status Stop(const std::string& reason) const;
  std::optional<std::string> StopReason() const;
  absl::Status ClearStop() const;

  // AlreadyExists names the process and machine that hold it.
  absl::StatusOr<std::unique_ptr<WorkerLock>> AcquireWorkerLock() const;

  // Removes orders, results and blobs that no round from `round` on needs; `keep` are digests (hex) to spare.
  absl::Status RemoveBefore(uint64_t round, const std::vector<std::string>& keep) const;

 private:
  SiteDirectory(std::string folder, BlobDirectory blobs) : folder_(std::move(folder)), blobs_(std::move(blobs)) {}
  std::string folder_;
  BlobDirectory blobs_;
};

}  // namespace weft

#endif  // WEFT_WORKER_SITE_SITE_DIRECTORY_H_
