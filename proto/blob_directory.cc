#include "proto/blob_directory.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace weft {
namespace fs = std::filesystem;

absl::Status BlobWriter::Append(absl::string_view bytes) {
  hasher_.Update(bytes);
  return file_->Append(bytes);
}

absl::StatusOr<Digest> BlobWriter::Commit() {
  const Digest digest = hasher_.Finish();
  if (absl::Status status = file_->CommitAs(absl::StrCat(folder_, "/", ToHex(digest)));
      !status.ok())
    return status;
  return digest;
}

absl::StatusOr<BlobDirectory> BlobDirectory::Open(std::string folder) {
  if (absl::Status status = MakeDirectories(folder); !status.ok()) return status;
  RemoveAbandonedFiles(folder);
  return BlobDirectory(std::move(folder));
}

std::string BlobDirectory::PathOf(const Digest& digest) const {
  return absl::StrCat(folder_, "/", ToHex(digest));
}

bool BlobDirectory::Has(const Digest& digest) const {
  return access(PathOf(digest).c_str(), R_OK) == 0;
}

absl::StatusOr<std::unique_ptr<BlobWriter>> BlobDirectory::NewBlob() const {
  absl::StatusOr<std::unique_ptr<DurableFile>> file =
      DurableFile::Create(absl::StrCat(folder_, "/blob"));
  if (!file.ok()) return file.status();
  return std::make_unique<BlobWriter>(folder_, std::move(*file));
}

absl::StatusOr<Digest> BlobDirectory::Put(absl::string_view blob) const {
  absl::StatusOr<std::unique_ptr<BlobWriter>> writer = NewBlob();
  if (!writer.ok()) return writer.status();
  if (absl::Status status = (*writer)->Append(blob); !status.ok()) return status;
  return (*writer)->Commit();
}

absl::Status BlobDirectory::Verify(const Digest& digest) const {
  const std::string path = PathOf(digest);
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": there is no such blob"));
  BlobHasher hasher;
  std::string buffer(kChunkBytes, '\0');
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         file.gcount() > 0) {
    hasher.Update({buffer.data(), static_cast<size_t>(file.gcount())});
  }
  if (file.bad()) return absl::DataLossError(absl::StrCat(path, ": cannot be read to its end"));
  if (const Digest got = hasher.Finish(); got != digest) {
    return absl::DataLossError(absl::StrCat(path, ": its content has the digest ", ToHex(got),
                                            ", not the one it is named by"));
  }
  return absl::OkStatus();
}

absl::Status BlobDirectory::Remove(const Digest& digest) const {
  const std::string path = PathOf(digest);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus("cannot remove", path);
  return absl::OkStatus();
}

std::vector<Digest> BlobDirectory::List() const {
  std::vector<Digest> digests;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    if (absl::StatusOr<Digest> digest = DigestFromHex(entry.path().filename().string());
        digest.ok())
      digests.push_back(*digest);
  }
  std::sort(digests.begin(), digests.end());
  return digests;
}

}  // namespace weft
