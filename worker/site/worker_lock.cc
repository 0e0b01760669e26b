// WorkerLock: flock(2), so that the kernel frees it when the process ends, and words in the file
// for the one who waits.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/durable_file.h"
#include "worker/site/site_directory.h"

namespace weft {
namespace {

// "pid@host session": enough to find the process, and to tell two of its lives apart.
std::string Holder() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  std::random_device random;
  return absl::StrFormat("%d@%s %08x%08x\n", getpid(), host, random(), random());
}

std::string ReadHolder(int fd) {
  char text[512];
  const ssize_t length = pread(fd, text, sizeof(text), 0);
  std::string holder(text, length > 0 ? length : 0);
  while (!holder.empty() && holder.back() == '\n') holder.pop_back();
  return holder.empty() ? "a process that has not yet said which" : holder;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerLock>> WorkerLock::Acquire(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus("cannot open the lock file", path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const bool held = errno == EWOULDBLOCK;
    const absl::Status failed = held ? absl::OkStatus() : ErrnoStatus("cannot lock", path);
    const std::string holder = ReadHolder(fd);
    close(fd);
    if (!held) return failed;
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": held by ", holder,
                     " (pid@host session): one worker trains at a time; end that one first, or "
                     "use another folder"));
  }
  auto lock = std::unique_ptr<WorkerLock>(new WorkerLock(fd));
  const std::string holder = Holder();
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, holder.data(), holder.size(), 0) != static_cast<ssize_t>(holder.size())) {
    return ErrnoStatus("cannot write the lock's holder", path);
  }
  return lock;
}

WorkerLock::~WorkerLock() { close(fd_); }

}  // namespace weft
