// The gate's own folder (--state), on a disk of the machine that the gate runs on.
//
//   STATE/run.signed.json        the manifest that the operator accepted, as it was signed
//   STATE/ledger.jsonl           what left, and what was accepted and started (ledger.h)
//   STATE/gate_state.textproto   GateState, rewritten before every effect
//   STATE/blobs/                 encoded contributions, on disk before they are sent
//   STATE/statements/            their signed statements
//   STATE/partial/               blobs on their way down
//   STATE/gate.lock              held by the gate that runs
//
// Thread-compatible.
#ifndef WEFT_WORKER_GATE_GATE_FOLDER_H_
#define WEFT_WORKER_GATE_GATE_FOLDER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/identity.h"
#include "ops/manifest.h"
#include "worker/core/gate_state.pb.h"

namespace weft {

class GateFolder {
 public:
  explicit GateFolder(std::string folder) : folder_(std::move(folder)) {}

  std::string manifest_path() const { return folder_ + "/run.signed.json"; }
  std::string ledger_path() const { return folder_ + "/ledger.jsonl"; }
  std::string state_path() const { return folder_ + "/gate_state.textproto"; }
  std::string blob_folder() const { return folder_ + "/blobs"; }
  std::string statement_folder() const { return folder_ + "/statements"; }
  std::string partial_folder() const { return folder_ + "/partial"; }

  absl::Status MakeFolders() const;

  // Released when the process ends, however it ends.
  class Lock {
   public:
    explicit Lock(int fd) : fd_(fd) {}
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    int fd_;
  };
  // FailedPrecondition: another gate runs with this folder.
  absl::StatusOr<std::unique_ptr<Lock>> AcquireLock() const;

  // FailedPrecondition where nothing was accepted. The signatures are checked each time.
  absl::StatusOr<SignedManifest> LoadAccepted(const Identity& identity) const;
  // The state of the accepted run; a fresh one where there is none. FailedPrecondition: it is of
  // another manifest or site.
  absl::StatusOr<GateState> LoadState(const SignedManifest& accepted,
                                      const std::string& site) const;

 private:
  std::string folder_;
};

}  // namespace weft

#endif  // WEFT_WORKER_GATE_GATE_FOLDER_H_
