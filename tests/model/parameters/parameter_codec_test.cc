#include "model/parameters/parameter_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "gtest/gtest.h"
#include "model/parameters/parameter_layout.h"
#include "proto/blob_digest.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

std::vector<float> Pattern(size_t n, float scale) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = scale * std::sin(0.37f * static_cast<float>(i));
  return x;
}

TEST(ParameterLayout, LaysTensorsWithoutGapsAndNamesItself) {
  const ParameterLayout layout = *ParameterLayout::Create({{"a", {2, 3}}, {"b", {4}}});
  EXPECT_EQ(layout.element_count(), 10u);
  EXPECT_EQ(layout.Find("b")->offset, 6u);
  EXPECT_EQ(layout.Find("c"), nullptr);
  // SHA-256 of "a\t2x3\nb\t4\n", by Python's hashlib.
  EXPECT_EQ(ToHex(layout.digest()),
            "9341a2b3450d1a7c2c62e89f77bd98d740e235ee0c1d6126a9d7e37f035d53ab");
  EXPECT_FALSE(ParameterLayout::Create({{"a", {2}}, {"a", {2}}}).ok());
  EXPECT_FALSE(ParameterLayout::Create({{"a", {0}}}).ok());
  EXPECT_FALSE(ParameterLayout::Create({{"a", {int64_t{1} << 40, int64_t{1} << 40}}}).ok());
}

TEST(VectorFile, IsReadInPartsAndWhole) {
  testing::TemporaryFolder folder;
  const BlobDirectory blobs = *BlobDirectory::Open(folder / "blobs");
  const std::vector<float> x = Pattern(600'000, 2.0f);
  const Digest layout = Sha256("layout");
  const Digest digest = *WriteVector(blobs, {.element_count = x.size(), .layout = layout}, x, {});
  EXPECT_TRUE(blobs.Verify(digest).ok());

  VectorReader reader = *VectorReader::Open(blobs.PathOf(digest));
  std::vector<float> part(300'000);
  ASSERT_TRUE(reader.Read(250'001, {}, absl::MakeSpan(part)).ok());
  EXPECT_EQ(std::memcmp(part.data(), x.data() + 250'001, part.size() * sizeof(float)), 0);

  const ParameterVector whole = *ReadParameters(blobs.PathOf(digest), layout);
  EXPECT_EQ(std::memcmp(whole.data(), x.data(), x.size() * sizeof(float)), 0);
  EXPECT_FALSE(ReadParameters(blobs.PathOf(digest), Sha256("another")).ok());
}

TEST(VectorFile, PartsAreTheWholeInEveryEncoding) {
  testing::TemporaryFolder folder;
  const BlobDirectory blobs = *BlobDirectory::Open(folder / "blobs");
  const size_t n = 600'003;
  const std::vector<float> base = Pattern(n, 2.0f), change = Pattern(n + 1, 0.01f);
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = base[i] + change[i + 1];
  for (const VectorFormat& format :
       {VectorFormat(Encoding::kDeltaBf16), VectorFormat(Encoding::kDeltaInt8),
        VectorFormat(Encoding::kDeltaInt4), VectorFormat(Encoding::kTopkInt4, 5)}) {
    SCOPED_TRACE(FormatWords(format));
    const VectorHeader header{.encoding = format, .element_count = n, .base = Sha256("base")};
    const Digest digest = *WriteVector(blobs, header, x, base);
    std::string bytes = PrintVectorHeader(header);
    ASSERT_TRUE(EncodeElements(format, x, base, 0, &bytes).ok());
    EXPECT_EQ(bytes.size(), EncodedBytes(format, n));
    EXPECT_EQ(digest, BlobDigest(bytes)) << "a block at a time and at once are the same bytes";

    VectorReader reader = *VectorReader::Open(blobs.PathOf(digest));
    EXPECT_EQ(reader.header().encoding, format);
    std::vector<float> whole(n), parts(n);
    ASSERT_TRUE(reader.Read(0, base, absl::MakeSpan(whole)).ok());
    for (size_t begin = 0, count = 256; begin < n;
         begin += count, count = count % 70'000 / 256 * 256 * 3 + 256) {
      const size_t size = std::min(count, n - begin);
      ASSERT_TRUE(reader
                      .Read(begin, absl::MakeConstSpan(base).subspan(begin, size),
                            absl::MakeSpan(parts).subspan(begin, size))
                      .ok());
    }
    EXPECT_EQ(std::memcmp(parts.data(), whole.data(), n * sizeof(float)), 0);
  }
}

TEST(VectorFile, NamesTheFileAndTheBlockThatIsWrong) {
  testing::TemporaryFolder folder;
  const std::string path = folder / "vector";
  const std::vector<float> base(600, 0.0f), x = Pattern(600, 1.0f);
  std::string bytes = PrintVectorHeader(
      {.encoding = Encoding::kDeltaInt8, .element_count = 600, .base = Sha256("b")});
  ASSERT_TRUE(EncodeElements(Encoding::kDeltaInt8, x, base, 0, &bytes).ok());
  bytes[EncodedOffset(Encoding::kDeltaInt8, 512) + 3] = '\xff';  // the sign of the last scale
  std::ofstream(path, std::ios::binary) << bytes;
  std::vector<float> out(600);
  const absl::Status status = VectorReader::Open(path)->Read(0, base, absl::MakeSpan(out));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(path), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("elements 512 to 599"), absl::string_view::npos) << status;
}

TEST(VectorFile, RefusesAFileOfAnotherLength) {
  testing::TemporaryFolder folder;
  const std::string path = folder / "vector";
  const std::string header = PrintVectorHeader({.element_count = 4, .layout = Sha256("l")});
  for (const std::string& bytes : {std::string(), header.substr(0, 60), header,
                                   header + std::string(15, 'x'), header + std::string(17, 'x')}) {
    std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_EQ(VectorReader::Open(path).status().code(), absl::StatusCode::kDataLoss)
        << bytes.size();
  }
  EXPECT_TRUE(absl::IsNotFound(VectorReader::Open(folder / "none").status()));
}

}  // namespace
}  // namespace weft
