#include "proto/durable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/crash_point.h"

namespace weft {
namespace {

std::string FolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus("cannot write", path);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

enum class Locked { kYes, kNo, kNotHere };

// kNotHere: the file system has no locks.
Locked TryLock(int fd) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return Locked::kYes;
  return errno == EWOULDBLOCK ? Locked::kNo : Locked::kNotHere;
}

bool IsLinked(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && info.st_nlink > 0;
}

bool IsOlderThanADay(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && time(nullptr) - info.st_mtime > 24 * 60 * 60;
}

}  // namespace

absl::Status ErrnoStatus(absl::string_view what, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat(path, ": ", what));
}

absl::StatusOr<std::unique_ptr<DurableFile>> DurableFile::Create(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  while (true) {
    std::string temporary =
        absl::StrCat(path, ".", getpid(), ".", counter.fetch_add(1), kTemporarySuffix);
    const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return ErrnoStatus("cannot create", temporary);
    // RemoveAbandonedFiles of another process may have come between the two calls.
    if (TryLock(fd) != Locked::kNo && IsLinked(fd)) {
      return std::unique_ptr<DurableFile>(new DurableFile(path, std::move(temporary), fd));
    }
    close(fd);
  }
}

DurableFile::~DurableFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

absl::Status DurableFile::Append(absl::string_view bytes) {
  return WriteAll(fd_, bytes, temporary_);
}

absl::Status DurableFile::Commit() { return CommitAs(path_); }

absl::Status DurableFile::CommitAs(const std::string& path) {
  if (fsync(fd_) != 0) return ErrnoStatus("cannot sync", temporary_);
  CrashPoint("before a file gets its name");
  const bool named = rename(temporary_.c_str(), path.c_str()) == 0;
  const absl::Status status =
      named ? absl::OkStatus() : ErrnoStatus("cannot give the finished file its name", path);
  if (!named) unlink(temporary_.c_str());
  close(fd_);  // and with it goes the lock
  fd_ = -1;
  if (!named) return status;
  CrashPoint("after a file got its name");
  return SyncDirectory(FolderOf(path));
}

absl::Status WriteFileDurably(const std::string& path, absl::string_view bytes) {
  absl::StatusOr<std::unique_ptr<DurableFile>> file = DurableFile::Create(path);
  if (!file.ok()) return file.status();
  if (absl::Status status = (*file)->Append(bytes); !status.ok()) return status;
  return (*file)->Commit();
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path, uint64_t bytes_max) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  struct stat info;
  if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    close(fd);
    return absl::FailedPreconditionError(absl::StrCat(path, ": is a folder, a file is expected"));
  }
  std::string bytes;
  char buffer[1 << 16];
  while (true) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || bytes.size() + static_cast<size_t>(got) > bytes_max) {
      const absl::Status failed = ErrnoStatus("cannot read", path);
      close(fd);
      if (got < 0) return failed;
      if (got > 0)
        return absl::ResourceExhaustedError(
            absl::StrCat(path, ": longer than the ", bytes_max, " bytes that are allowed here"));
      return bytes;
    }
    bytes.append(buffer, static_cast<size_t>(got));
  }
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error)
    return absl::ErrnoToStatus(error.value(), absl::StrCat(path, ": cannot make the folder"));
  return absl::OkStatus();
}

void RemoveAbandonedFiles(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string path = entry.path().string();
    if (!absl::EndsWith(path, kTemporarySuffix)) continue;
    const int fd = open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) continue;  // a folder, or gone meanwhile
    const Locked locked = TryLock(fd);
    if (locked == Locked::kYes || (locked == Locked::kNotHere && IsOlderThanADay(fd))) {
      unlink(path.c_str());
    }
    close(fd);
  }
}

absl::Status SyncDirectory(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("cannot open", folder);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  if (result != 0) return absl::ErrnoToStatus(error, absl::StrCat(folder, ": cannot sync"));
  return absl::OkStatus();
}

}  // namespace weft
