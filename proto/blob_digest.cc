#include "proto/blob_digest.h"

#include <algorithm>
#include <string>

#include "proto/check.h"

namespace weft {
namespace {

void AppendLittleEndian(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

}  // namespace

Digest BlobDigest(uint64_t blob_bytes, absl::Span<const Digest> chunk_digests) {
  WEFT_CHECK(chunk_digests.size() == ChunkCount(blob_bytes));
  std::string bytes = "weftblob";
  AppendLittleEndian(kVectorBlob, 4, &bytes);
  AppendLittleEndian(kChunkBytes, 4, &bytes);
  AppendLittleEndian(blob_bytes, 8, &bytes);
  for (const Digest& digest : chunk_digests) bytes.append(digest.begin(), digest.end());
  return Sha256(bytes);
}

Digest BlobDigest(absl::string_view blob) {
  BlobHasher hasher;
  hasher.Update(blob);
  return hasher.Finish();
}

void BlobHasher::Update(absl::string_view bytes) {
  while (!bytes.empty()) {
    const uint64_t room = kChunkBytes - bytes_ % kChunkBytes;
    const absl::string_view part = bytes.substr(0, room);
    chunk_.Update(part);
    bytes_ += part.size();
    bytes.remove_prefix(part.size());
    if (bytes_ % kChunkBytes == 0) chunk_digests_.push_back(chunk_.Finish());
  }
}

Digest BlobHasher::Finish() {
  if (bytes_ % kChunkBytes != 0) chunk_digests_.push_back(chunk_.Finish());
  return BlobDigest(bytes_, chunk_digests_);
}

}  // namespace weft
