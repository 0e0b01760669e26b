#include "worker/gate/gate_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"

namespace weft {

absl::Status GateFolder::MakeFolders() const {
  for (const std::string& folder : {folder_, blob_folder(), statement_folder(), partial_folder()}) {
    if (absl::Status status = MakeDirectories(folder); !status.ok()) return status;
    RemoveAbandonedFiles(folder);
  }
  return absl::OkStatus();
}

GateFolder::Lock::~Lock() { close(fd_); }

absl::StatusOr<std::unique_ptr<GateFolder::Lock>> GateFolder::AcquireLock() const {
  const std::string path = folder_ + "/gate.lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  auto lock = std::make_unique<Lock>(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": another weft-gate works in this folder: end it first, or give another --state"));
  }
  return lock;
}

absl::StatusOr<SignedManifest> GateFolder::LoadAccepted(const Identity& identity) const {
  absl::StatusOr<SignedManifest> accepted =
      LoadSignedManifest(manifest_path(), identity.authorities);
  if (absl::IsNotFound(accepted.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder_,
        ": no run manifest was accepted here; read and accept one first: weft-gate accept --state ",
        folder_, " --kit KIT run.signed.json"));
  }
  return accepted;
}

absl::StatusOr<GateState> GateFolder::LoadState(const SignedManifest& accepted,
                                                const std::string& site) const {
  GateState state;
  if (std::filesystem::exists(state_path())) {
    if (absl::Status status = ReadTextProto(state_path(), &state); !status.ok()) return status;
    if (state.manifest_digest() != ToHex(accepted.digest) || state.site() != site) {
      return absl::FailedPreconditionError(absl::StrCat(
          state_path(), ": is of site ", state.site(), " and manifest ", state.manifest_digest(),
          "; this is site ", site, " and the accepted manifest is ", ToHex(accepted.digest),
          ": give each run a --state folder of its own"));
    }
    return state;
  }
  state.set_version(1);
  state.set_run_id(accepted.manifest.run_id());
  state.set_site(site);
  state.set_manifest_digest(ToHex(accepted.digest));
  return state;
}

}  // namespace weft
