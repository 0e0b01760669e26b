#include "worker/gate/partial_blob.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/durable_file.h"

namespace weft {

PartialBlob::PartialBlob(PartialBlob&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      blob_bytes_(other.blob_bytes_),
      next_chunk_(other.next_chunk_),
      hasher_(std::move(other.hasher_)) {}

PartialBlob::~PartialBlob() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<PartialBlob> PartialBlob::Open(const std::string& path, uint64_t blob_bytes) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  PartialBlob blob(path, fd, blob_bytes);
  if (absl::Status status = blob.TakeUp(); !status.ok()) return status;
  std::error_code error;
  const auto space = std::filesystem::space(path, error);
  const uint64_t missing = blob_bytes - blob.next_chunk_ * std::min(kChunkBytes, blob_bytes);
  if (!error && !blob.complete() && space.available < missing) {
    // FailedPrecondition: trying again without a change does not help.
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", missing, " bytes are to come, ",
                                                      space.available,
                                                      " are free on this disk: make room"));
  }
  return blob;
}

// Hashes the whole chunks that are there, and cuts off what follows them.
absl::Status PartialBlob::TakeUp() {
  struct stat info;
  if (fstat(fd_, &info) != 0) return ErrnoStatus("cannot stat", path_);
  const uint64_t bytes = static_cast<uint64_t>(info.st_size);
  std::string buffer;
  while (!complete() &&
         next_chunk_ * kChunkBytes + ChunkLength(blob_bytes_, next_chunk_) <= bytes) {
    buffer.resize(ChunkLength(blob_bytes_, next_chunk_));
    const ssize_t got =
        pread(fd_, buffer.data(), buffer.size(), static_cast<off_t>(next_chunk_ * kChunkBytes));
    if (got != static_cast<ssize_t>(buffer.size())) return ErrnoStatus("cannot read", path_);
    hasher_.Update(buffer);
    ++next_chunk_;
  }
  const uint64_t taken = complete() ? blob_bytes_ : next_chunk_ * kChunkBytes;
  if (ftruncate(fd_, static_cast<off_t>(taken)) != 0) return ErrnoStatus("cannot cut", path_);
  return absl::OkStatus();
}

absl::Status PartialBlob::Append(const BlobChunk& chunk) {
  if (complete() || chunk.number() != next_chunk_) {
    return absl::DataLossError(
        absl::StrCat("the coordinator sent chunk ", chunk.number(), ", expected ", next_chunk_));
  }
  const uint64_t length = ChunkLength(blob_bytes_, next_chunk_);
  if (chunk.data().size() != length || ToBytes(Sha256(chunk.data())) != chunk.sha256()) {
    return absl::DataLossError(
        absl::StrCat("chunk ", next_chunk_, " came damaged: ", chunk.data().size(),
                     " bytes, expected ", length, ", or another SHA-256 than it names"));
  }
  size_t written = 0;
  while (written < length) {
    const ssize_t n = pwrite(fd_, chunk.data().data() + written, length - written,
                             static_cast<off_t>(next_chunk_ * kChunkBytes + written));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const absl::Status why = ErrnoStatus("cannot write", path_);
      return absl::FailedPreconditionError(why.message());
    }
    written += static_cast<size_t>(n);
  }
  hasher_.Update(chunk.data());
  ++next_chunk_;
  return absl::OkStatus();
}

absl::Status PartialBlob::Finish(const Digest& digest) {
  const Digest got = hasher_.Finish();
  if (got == digest) return absl::OkStatus();
  unlink(path_.c_str());
  return absl::DataLossError(absl::StrCat("the blob that came has digest ", ToHex(got),
                                          ", asked for was ", ToHex(digest)));
}

}  // namespace weft
