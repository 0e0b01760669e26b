// The name of a blob: a digest over its 1 MiB chunks' digests, so that chunks can be hashed,
// checked and sent in any order, by several streams, and resumed.
//
//   blob digest = SHA-256( "weftblob" | u32 kind | u32 chunk bytes | u64 length | SHA-256(chunk 0)
//   | SHA-256(chunk 1) | ... )
//
// Integers little-endian; kind 1 is a parameter vector; the last chunk may be shorter; an empty
// blob has no chunk.
#ifndef WEFT_PROTO_BLOB_DIGEST_H_
#define WEFT_PROTO_BLOB_DIGEST_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/digest.h"

namespace weft {

inline constexpr uint64_t kChunkBytes = uint64_t{1} << 20;
inline constexpr uint32_t kVectorBlob = 1;

constexpr uint64_t ChunkCount(uint64_t blob_bytes) {
  return (blob_bytes + kChunkBytes - 1) / kChunkBytes;
}
// Bytes of chunk `number` in a blob of `blob_bytes`. Requires number < ChunkCount(blob_bytes).
constexpr uint64_t ChunkLength(uint64_t blob_bytes, uint64_t number) {
  const uint64_t begin = number * kChunkBytes;
  return blob_bytes - begin < kChunkBytes ? blob_bytes - begin : kChunkBytes;
}

// Requires chunk_digests.size() == ChunkCount(blob_bytes).
Digest BlobDigest(uint64_t blob_bytes, absl::Span<const Digest> chunk_digests);
// Of a blob that lies in memory.
Digest BlobDigest(absl::string_view blob);

// Hashes a blob as its bytes pass, in order. Belongs to one thread.
class BlobHasher {
 public:
  void Update(absl::string_view bytes);
  // Ends the blob. chunk_digests() and bytes() stay readable.
  Digest Finish();
  const std::vector<Digest>& chunk_digests() const { return chunk_digests_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Sha256Hasher chunk_;
  uint64_t bytes_ = 0;
  std::vector<Digest> chunk_digests_;
};

}  // namespace weft

#endif  // WEFT_PROTO_BLOB_DIGEST_H_
