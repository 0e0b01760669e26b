// How a file becomes visible everywhere in Weft: written under a temporary name in the same folder,
// synced, renamed, and the folder synced. After a crash the file is there whole, or not at all.
//
//   absl::Status status = WriteFileDurably(path, bytes);
//   auto file = DurableFile::Create(path); (*file)->Append(a); (*file)->Append(b);
//   (*file)->Commit();
#ifndef WEFT_PROTO_DURABLE_FILE_H_
#define WEFT_PROTO_DURABLE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weft {

// Temporary names end so. A writer holds a lock (flock) on its temporary file, which the kernel
// frees when the process ends: what ends so and is not locked was left by a writer that is gone.
inline constexpr absl::string_view kTemporarySuffix = ".tmp";

class DurableFile {
 public:
  static absl::StatusOr<std::unique_ptr<DurableFile>> Create(const std::string& path);
  ~DurableFile();  // without Commit: removes the temporary file
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  absl::Status Append(absl::string_view bytes);
  absl::Status Commit();
  // Commit under another name in the same folder (for names that are known only when the content
  // is).
  absl::Status CommitAs(const std::string& path);

 private:
  DurableFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  std::string path_;
  std::string temporary_;
  int fd_;
};

absl::Status WriteFileDurably(const std::string& path, absl::string_view bytes);
// The whole file. NotFound where there is none; ResourceExhausted above `bytes_max`.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          uint64_t bytes_max = uint64_t{1} << 30);
absl::Status MakeDirectories(const std::string& path);
// Removes the temporary files in `folder` whose writers are gone, on whatever machine they were;
// on a file system without locks, those that are older than a day.
void RemoveAbandonedFiles(const std::string& folder);
// Makes renames and removals in `folder` durable.
absl::Status SyncDirectory(const std::string& folder);
// "PATH: what: No space left on device", with the status code that fits errno.
absl::Status ErrnoStatus(absl::string_view what, const std::string& path);

}  // namespace weft

#endif  // WEFT_PROTO_DURABLE_FILE_H_
