#include "worker/training/compute_slots.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "proto/durable_file.h"

namespace weft {

ComputeSlot::~ComputeSlot() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<ComputeSlot> ComputeSlots::Acquire(
    const std::function<absl::Status(const std::string& reason)>& wait) const {
  if (folder_.empty() || count_ == 0) return ComputeSlot();
  if (absl::Status status = MakeDirectories(folder_); !status.ok()) return status;
  while (true) {
    for (int i = 0; i < count_; ++i) {
      const std::string path = absl::StrCat(folder_, "/slot-", i);
      const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
      if (fd < 0) return ErrnoStatus("cannot open the slot", path);
      if (flock(fd, LOCK_EX | LOCK_NB) == 0) return ComputeSlot(fd);
      const absl::Status failed =
          errno == EWOULDBLOCK ? absl::OkStatus() : ErrnoStatus("cannot lock the slot", path);
      close(fd);
      if (!failed.ok()) return failed;
    }
    if (absl::Status status =
            wait(absl::StrCat("waiting for one of ", count_, " compute slots in ", folder_));
        !status.ok()) {
      return status;
    }
  }
}

}  // namespace weft
