#include "proto/blob_digest.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace weft {
namespace {

std::string Pattern(size_t bytes) {
  std::string blob(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) blob[i] = static_cast<char>(i % 251);
  return blob;
}

// Golden values from Python's hashlib and struct, written from the definition in the header.
TEST(BlobDigest, HasTheBytesThatTheFormatSays) {
  EXPECT_EQ(ToHex(BlobDigest("")),
            "24209bd559c0bba85a2e6daf3f933c7988ad0f3862992a057cb33aff1dc843cc");
  EXPECT_EQ(ToHex(BlobDigest("weft")),
            "1af35774f6e46a970b642018bb6d493b2451675f4f03e139f4fdbaac886c8a72");
  EXPECT_EQ(ToHex(BlobDigest(Pattern(kChunkBytes + 5))),
            "0214cc1ce025acd6dbf5da561fe971111fb04660153ee5f540823194df288747");
}

TEST(BlobDigest, IsTheSameHoweverTheBytesPass) {
  const std::string blob = Pattern(2 * kChunkBytes + 77);
  BlobHasher hasher;
  for (size_t at = 0; at < blob.size(); at += 300'007) {
    hasher.Update(absl::string_view(blob).substr(at, 300'007));
  }
  EXPECT_EQ(hasher.Finish(), BlobDigest(blob));
  EXPECT_EQ(hasher.bytes(), blob.size());
  ASSERT_EQ(hasher.chunk_digests().size(), 3u);
  EXPECT_EQ(hasher.chunk_digests()[2], Sha256(absl::string_view(blob).substr(2 * kChunkBytes)));
  EXPECT_EQ(BlobDigest(blob.size(), hasher.chunk_digests()), BlobDigest(blob));
}

TEST(BlobDigest, ChunksCoverABlob) {
  EXPECT_EQ(ChunkCount(0), 0u);
  EXPECT_EQ(ChunkCount(1), 1u);
  EXPECT_EQ(ChunkCount(kChunkBytes), 1u);
  EXPECT_EQ(ChunkCount(kChunkBytes + 1), 2u);
  EXPECT_EQ(ChunkLength(kChunkBytes + 1, 0), kChunkBytes);
  EXPECT_EQ(ChunkLength(kChunkBytes + 1, 1), 1u);
}

TEST(Digest, HexGoesBothWaysAndRefusesOtherText) {
  const Digest digest = Sha256("abc");  // FIPS 180-4, example B.1
  EXPECT_EQ(ToHex(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(*DigestFromHex(ToHex(digest)), digest);
  EXPECT_EQ(*DigestFromBytes(ToBytes(digest)), digest);
  EXPECT_FALSE(DigestFromHex("ba78").ok());
  EXPECT_FALSE(DigestFromHex(std::string(63, 'a') + "G").ok());
  EXPECT_FALSE(DigestFromBytes("short").ok());
}

}  // namespace
}  // namespace weft
