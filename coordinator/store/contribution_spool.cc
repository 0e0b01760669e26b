#include "coordinator/store/contribution_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/blob_digest.h"
#include "proto/check.h"
#include "proto/crash_point.h"
#include "proto/durable_file.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

// A crash costs at most so many chunks that are sent again.
constexpr uint64_t kChunksBetweenFlushes = 16;

bool HasBit(absl::string_view bitmap, uint64_t i) { return (bitmap[i / 8] >> (i % 8)) & 1; }

absl::Status WriteAt(int fd, uint64_t offset, absl::string_view data, const std::string& path) {
  while (!data.empty()) {
    const ssize_t done = pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return ErrnoStatus("cannot write", path);
    data.remove_prefix(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
  return absl::OkStatus();
}

absl::Status ReadAt(int fd, uint64_t offset, std::string* data, const std::string& path) {
  size_t done = 0;
  while (done < data->size()) {
    const ssize_t got =
        pread(fd, data->data() + done, data->size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("cannot read", path);
    if (got == 0) return absl::DataLossError(absl::StrCat(path, ": ends at byte ", offset + done));
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status RemoveFolder(const std::string& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(folder, ": cannot be removed: ", error.message()));
}

}  // namespace

SpooledContribution::SpooledContribution(std::string folder, SpoolHead head, int fd,
                                         std::string bitmap)
    : folder_(std::move(folder)), head_(std::move(head)), fd_(fd), bitmap_(std::move(bitmap)) {
  const uint64_t count = ChunkCount(head_.blob_bytes());
  for (uint64_t i = 0; i < count; ++i) missing_ += HasBit(bitmap_, i) ? 0 : 1;
}

SpooledContribution::~SpooledContribution() { close(fd_); }

absl::StatusOr<std::shared_ptr<SpooledContribution>> SpooledContribution::Open(
    const std::string& folder, SpoolHead head, std::string bitmap) {
  const std::string path = folder + "/data";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  std::shared_ptr<SpooledContribution> spooled(
      new SpooledContribution(folder, std::move(head), fd, std::move(bitmap)));
  // The disk's room is taken now: a full disk is said before a site has sent anything.
  const int error = posix_fallocate(fd, 0, static_cast<off_t>(spooled->head_.blob_bytes()));
  if (error != 0) {
    errno = error;
    return ErrnoStatus("cannot make room for a contribution", path);
  }
  return spooled;
}

absl::string_view SpooledContribution::ChunkDigest(uint64_t number) const {
  return absl::string_view(head_.chunk_sha256s()).substr(number * sizeof(Digest), sizeof(Digest));
}

absl::Status SpooledContribution::Add(uint32_t number, absl::string_view data) {
  const uint64_t bytes = head_.blob_bytes();
  if (number >= ChunkCount(bytes)) {
    return absl::OutOfRangeError(
        absl::StrCat("chunk ", number, ": the contribution has ", ChunkCount(bytes)));
  }
  if (data.size() != ChunkLength(bytes, number)) {
    return absl::OutOfRangeError(absl::StrCat("chunk ", number, " has ", data.size(),
                                              " bytes, not ", ChunkLength(bytes, number)));
  }
  if (ToBytes(Sha256(data)) != ChunkDigest(number)) {
    return absl::DataLossError(
        absl::StrCat("chunk ", number, " is not the one that the contribution's head names"));
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (HasBit(bitmap_, number)) return absl::OkStatus();
  absl::Status status = WriteAt(fd_, number * kChunkBytes, data, data_path());
  if (!status.ok()) return status;
  bitmap_[number / 8] = static_cast<char>(bitmap_[number / 8] | (1 << (number % 8)));
  --missing_;
  if (++not_flushed_ >= kChunksBetweenFlushes) return FlushLocked();
  return absl::OkStatus();
}

absl::Status SpooledContribution::Flush() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return FlushLocked();
}

absl::Status SpooledContribution::FlushLocked() {
  if (not_flushed_ == 0) return absl::OkStatus();
  if (fdatasync(fd_) != 0) return ErrnoStatus("cannot sync", data_path());
  if (absl::Status status = WriteFileDurably(folder_ + "/bitmap", bitmap_); !status.ok()) {
    return status;
  }
  not_flushed_ = 0;
  return absl::OkStatus();
}

bool SpooledContribution::complete() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return missing_ == 0;
}

std::string SpooledContribution::bitmap() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return bitmap_;
}

absl::Status SpooledContribution::VerifyWhole() const {
  const uint64_t bytes = head_.blob_bytes();
  std::string chunk;
  for (uint64_t i = 0; i < ChunkCount(bytes); ++i) {
    chunk.resize(ChunkLength(bytes, i));
    absl::Status status = ReadAt(fd_, i * kChunkBytes, &chunk, data_path());
    if (!status.ok()) return status;
    if (ToBytes(Sha256(chunk)) != ChunkDigest(i)) {
      return absl::DataLossError(absl::StrCat("chunk ", i, " reads back from ", data_path(),
                                              " with another digest than it had when it arrived"));
    }
  }
  return absl::OkStatus();
}

absl::Status SpooledContribution::MoveTo(const BlobDirectory& blobs) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WEFT_CHECK(missing_ == 0);
  if (fdatasync(fd_) != 0) return ErrnoStatus("cannot sync", data_path());
  const std::string to = blobs.PathOf(*DigestFromBytes(head_.blob_digest()));
  if (rename(data_path().c_str(), to.c_str()) != 0) return ErrnoStatus("cannot move to", to);
  CrashPoint("after a contribution got its name");
  return SyncDirectory(blobs.folder());
}

absl::StatusOr<std::unique_ptr<ContributionSpool>> ContributionSpool::Open(std::string folder) {
  if (absl::Status status = MakeDirectories(folder); !status.ok()) return status;
  std::unique_ptr<ContributionSpool> spool(new ContributionSpool(std::move(folder)));
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(spool->folder_, error)) {
    const std::string path = entry.path().string();
    absl::StatusOr<std::string> head_bytes = ReadWholeFile(path + "/head", uint64_t{64} << 20);
    SpoolHead head;
    if (!head_bytes.ok() || !head.ParseFromString(*head_bytes) || !fs::exists(path + "/data")) {
      // Killed while it began or while it ended: nothing of it was promised.
      if (absl::Status status = RemoveFolder(path); !status.ok()) return status;
      continue;
    }
    RemoveAbandonedFiles(path);
    const uint64_t bitmap_bytes = (ChunkCount(head.blob_bytes()) + 7) / 8;
    absl::StatusOr<std::string> bitmap = ReadWholeFile(path + "/bitmap", bitmap_bytes);
    if (!bitmap.ok() || bitmap->size() != bitmap_bytes) bitmap = std::string(bitmap_bytes, '\0');
    absl::StatusOr<std::shared_ptr<SpooledContribution>> spooled =
        SpooledContribution::Open(path, std::move(head), *std::move(bitmap));
    if (!spooled.ok()) return spooled.status();
    spool->by_site_[entry.path().filename().string()] = *std::move(spooled);
  }
  if (error) return absl::UnavailableError(absl::StrCat(spool->folder_, ": ", error.message()));
  return spool;
}

absl::StatusOr<std::shared_ptr<SpooledContribution>> ContributionSpool::Begin(
    const std::string& site, const SpoolHead& head) {
  WEFT_CHECK(head.chunk_sha256s().size() == ChunkCount(head.blob_bytes()) * sizeof(Digest));
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_site_.find(site);
  if (found != by_site_.end()) {
    const SpoolHead& known = found->second->head();
    if (known.blob_digest() == head.blob_digest() && known.round() == head.round()) {
      return found->second;
    }
    by_site_.erase(found);
  }
  const std::string folder = absl::StrCat(folder_, "/", site);
  if (absl::Status status = RemoveFolder(folder); !status.ok()) return status;
  if (absl::Status status = MakeDirectories(folder); !status.ok()) return status;
  absl::StatusOr<std::shared_ptr<SpooledContribution>> spooled = SpooledContribution::Open(
      folder, head, std::string((ChunkCount(head.blob_bytes()) + 7) / 8, '\0'));
  if (!spooled.ok()) {
    RemoveFolder(folder).IgnoreError();  // the first error is the one to tell
    return spooled.status();
  }
  // The head comes last: without it, the folder is nothing.
  if (absl::Status status = WriteFileDurably(folder + "/head", head.SerializeAsString());
      !status.ok()) {
    return status;
  }
  by_site_[site] = *spooled;
  return spooled;
}

std::shared_ptr<SpooledContribution> ContributionSpool::Find(const std::string& site,
                                                             absl::string_view blob_digest,
                                                             uint64_t round) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_site_.find(site);
  if (found == by_site_.end()) return nullptr;
  const SpoolHead& head = found->second->head();
  return head.blob_digest() == blob_digest && head.round() == round ? found->second : nullptr;
}

absl::Status ContributionSpool::Remove(const std::string& site,
                                       const std::shared_ptr<SpooledContribution>& spooled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_site_.find(site);
  if (found == by_site_.end() || found->second != spooled) return absl::OkStatus();
  by_site_.erase(found);
  return RemoveFolder(absl::StrCat(folder_, "/", site));
}

}  // namespace weft
