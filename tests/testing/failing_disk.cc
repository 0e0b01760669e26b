// A disk that fails under a running program: preloaded (LD_PRELOAD) into it, this takes the place
// of the C library's calls that write below one folder. They fail as soon as a flag file is there,
// and succeed again when it is gone.
//
//   WEFT_FAILING_DISK=/run/folder WEFT_FAILING_DISK_FLAG=/run/flag
//   LD_PRELOAD=libweft_failing_disk.so weft-coordinator serve --directory /run/folder ... echo
//   EROFS > /run/flag          or ENOSPC, EIO; put there by a rename, so that it is never empty
//
// What was opened for writing before fails, too: so does a file system that turns read-only because
// its disk is damaged. With ENOSPC, removing and renaming go on to work, as on a full disk.
// Absolute paths of the folder and of the flag; symbolic links are not followed. x86-64 Linux,
// where each call has one name with 64-bit offsets beside the plain one.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

template <typename Function>
Function* Real(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}
#define REAL(name) Real(&name, #name)

enum class Need { kSpace, kWritable };

// The error that is to come; 0: none.
int Failure(Need need) {
  const char* flag = getenv("WEFT_FAILING_DISK_FLAG");
  if (flag == nullptr || access(flag, F_OK) != 0) return 0;
  char word[8] = {};
  const int fd = REAL(open)(flag, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;  // it was taken away just now
  const ssize_t got = read(fd, word, sizeof(word) - 1);
  close(fd);
  if (got > 0 && strncmp(word, "ENOSPC", 6) == 0) return need == Need::kSpace ? ENOSPC : 0;
  return got > 0 && strncmp(word, "EIO", 3) == 0 ? EIO : EROFS;
}

bool IsBelow(const char* path) {
  const char* folder = getenv("WEFT_FAILING_DISK");
  if (folder == nullptr) return false;
  const size_t length = strlen(folder);
  return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

bool IsBelow(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof(path) - 1);
  if (length < 0) return false;
  path[length] = '\0';
  return IsBelow(path);
}

bool IsBelow(int folder, const char* path) {
  if (path[0] == '/') return IsBelow(path);
  if (folder != AT_FDCWD) return IsBelow(folder);
  char here[4096];
  return getcwd(here, sizeof(here)) != nullptr && IsBelow(here);
}

// True, with errno set: the call is to fail. The flag is asked first, for it mostly is not there.
template <typename... Where>
bool Fails(Need need, Where... where) {
  const int before = errno;
  const int failure = Failure(need);
  const bool fails = failure != 0 && IsBelow(where...);
  errno = fails ? failure : before;
  return fails;
}

bool Writes(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0;
}

}  // namespace

extern "C" {

#define OPEN(name)                                                       \
  int name(const char* path, int flags, ...) {                           \
    va_list rest;                                                        \
    va_start(rest, flags);                                               \
    const mode_t mode = va_arg(rest, mode_t);                            \
    va_end(rest);                                                        \
    if (Writes(flags) && Fails(Need::kSpace, AT_FDCWD, path)) return -1; \
    return REAL(name)(path, flags, mode);                                \
  }
#define OPENAT(name)                                                   \
  int name(int folder, const char* path, int flags, ...) {             \
    va_list rest;                                                      \
    va_start(rest, flags);                                             \
    const mode_t mode = va_arg(rest, mode_t);                          \
    va_end(rest);                                                      \
    if (Writes(flags) && Fails(Need::kSpace, folder, path)) return -1; \
    return REAL(name)(folder, path, flags, mode);                      \
  }
#define CREAT(name)                                                           \
  int name(const char* path, mode_t mode) {                                   \
    return Fails(Need::kSpace, AT_FDCWD, path) ? -1 : REAL(name)(path, mode); \
  }
#define FOPEN(name)                                                                             \
  FILE* name(const char* path, const char* mode) {                                              \
    if (strpbrk(mode, "wa+") != nullptr && Fails(Need::kSpace, AT_FDCWD, path)) return nullptr; \
    return REAL(name)(path, mode);                                                              \
  }
#define PWRITE(name)                                                            \
  ssize_t name(int fd, const void* bytes, size_t count, off64_t offset) {       \
    return Fails(Need::kSpace, fd) ? -1 : REAL(name)(fd, bytes, count, offset); \
  }
#define FTRUNCATE(name)                                              \
  int name(int fd, off64_t length) noexcept {                        \
    return Fails(Need::kWritable, fd) ? -1 : REAL(name)(fd, length); \
  }
#define FALLOCATE(name)                                                         \
  int name(int fd, int mode, off64_t offset, off64_t length) {                  \
    return Fails(Need::kSpace, fd) ? -1 : REAL(name)(fd, mode, offset, length); \
  }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
CREAT(creat)
CREAT(creat64)
FOPEN(fopen)
FOPEN(fopen64)
PWRITE(pwrite)
PWRITE(pwrite64)
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

ssize_t write(int fd, const void* bytes, size_t count) {
  return Fails(Need::kSpace, fd) ? -1 : REAL(write)(fd, bytes, count);
}
ssize_t writev(int fd, const iovec* parts, int count) {
  return Fails(Need::kSpace, fd) ? -1 : REAL(writev)(fd, parts, count);
}
int fsync(int fd) { return Fails(Need::kWritable, fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return Fails(Need::kWritable, fd) ? -1 : REAL(fdatasync)(fd); }
int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags) {
  return Fails(Need::kWritable, fd) ? -1 : REAL(sync_file_range)(fd, offset, count, flags);
}

int rename(const char* from, const char* to) noexcept {
  return Fails(Need::kWritable, AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return Fails(Need::kWritable, to_folder, to) ? -1
                                               : REAL(renameat)(from_folder, from, to_folder, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  if (Fails(Need::kWritable, to_folder, to)) return -1;
  return REAL(renameat2)(from_folder, from, to_folder, to, flags);
}
int link(const char* from, const char* to) noexcept {
  return Fails(Need::kSpace, AT_FDCWD, to) ? -1 : REAL(link)(from, to);
}
int unlink(const char* path) noexcept {
  return Fails(Need::kWritable, AT_FDCWD, path) ? -1 : REAL(unlink)(path);
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return Fails(Need::kWritable, folder, path) ? -1 : REAL(unlinkat)(folder, path, flags);
}
int remove(const char* path) noexcept {
  return Fails(Need::kWritable, AT_FDCWD, path) ? -1 : REAL(remove)(path);
}
int rmdir(const char* path) noexcept {
  return Fails(Need::kWritable, AT_FDCWD, path) ? -1 : REAL(rmdir)(path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return Fails(Need::kSpace, AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}
int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  return Fails(Need::kSpace, folder, path) ? -1 : REAL(mkdirat)(folder, path, mode);
}

}  // extern "C"
