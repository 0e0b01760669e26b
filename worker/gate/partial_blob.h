// A blob on its way down, in a file that grows by whole chunks in their order: what a killed gate
// finds of it is gone on with. Every chunk is checked as it comes, the whole at the end; a blob
// that is not what was asked for is thrown away. Belongs to one thread.
#ifndef WEFT_WORKER_GATE_PARTIAL_BLOB_H_
#define WEFT_WORKER_GATE_PARTIAL_BLOB_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/blob_digest.h"
#include "proto/coordinator.pb.h"

namespace weft {

class PartialBlob {
 public:
  // ResourceExhausted where the disk has no room for the rest of it.
  static absl::StatusOr<PartialBlob> Open(const std::string& path, uint64_t blob_bytes);
  PartialBlob(PartialBlob&& other) noexcept;
  ~PartialBlob();

  uint64_t next_chunk() const { return next_chunk_; }
  bool complete() const { return next_chunk_ == ChunkCount(blob_bytes_); }
  // DataLoss for a chunk with another number, length or SHA-256 than expected; nothing is written
  // then.
  absl::Status Append(const BlobChunk& chunk);
  // Requires complete(). DataLoss, and the file is gone, unless the blob's digest is `digest`.
  absl::Status Finish(const Digest& digest);

 private:
  PartialBlob(std::string path, int fd, uint64_t blob_bytes)
      : path_(std::move(path)), fd_(fd), blob_bytes_(blob_bytes) {}
  absl::Status TakeUp();

  std::string path_;
  int fd_;
  uint64_t blob_bytes_;
  uint64_t next_chunk_ = 0;
  BlobHasher hasher_;
};

}  // namespace weft

#endif  // WEFT_WORKER_GATE_PARTIAL_BLOB_H_
