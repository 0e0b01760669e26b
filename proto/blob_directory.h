// A folder of blobs, each a file named by its digest in hexadecimal, written once: under a
// temporary name, synced, renamed. Coordinator and sites keep their vectors this way. Safe to use
// from several threads and processes.
//
//   auto writer = blobs.NewBlob();            // streams to disk, hashing as bytes pass
//   writer->Append(header); writer->Append(payload);
//   absl::StatusOr<Digest> digest = writer->Commit();
#ifndef WEFT_PROTO_BLOB_DIRECTORY_H_
#define WEFT_PROTO_BLOB_DIRECTORY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/blob_digest.h"
#include "proto/durable_file.h"

namespace weft {

class BlobWriter {
 public:
  explicit BlobWriter(std::string folder, std::unique_ptr<DurableFile> file)
      : folder_(std::move(folder)), file_(std::move(file)) {}
  absl::Status Append(absl::string_view bytes);
  // Syncs and gives the blob its name. Without Commit nothing stays behind.
  absl::StatusOr<Digest> Commit();
  const std::vector<Digest>& chunk_digests() const { return hasher_.chunk_digests(); }

 private:
  std::string folder_;
  std::unique_ptr<DurableFile> file_;
  BlobHasher hasher_;
};

class BlobDirectory {
 public:
  // Makes the folder if it is not there, and removes temporary files of processes that died.
  static absl::StatusOr<BlobDirectory> Open(std::string folder);

  std::string PathOf(const Digest& digest) const;
  bool Has(const Digest& digest) const;
  absl::StatusOr<std::unique_ptr<BlobWriter>> NewBlob() const;
  absl::StatusOr<Digest> Put(absl::string_view blob) const;
  // Reads the whole file and compares. NotFound, or DataLoss with both digests.
  absl::Status Verify(const Digest& digest) const;
  absl::Status Remove(const Digest& digest) const;
  std::vector<Digest> List() const;
  const std::string& folder() const { return folder_; }

 private:
  explicit BlobDirectory(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
};

}  // namespace weft

#endif  // WEFT_PROTO_BLOB_DIRECTORY_H_
