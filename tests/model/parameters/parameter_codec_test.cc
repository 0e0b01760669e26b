#include "model/parameters/parameter_codec.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "gtest/gtest.h"
#include "model/parameters/parameter_layout.h"
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

TEST(ParameterCodec, HeaderHasOneForm) {
  const VectorHeader header{.encoding = Encoding::kDeltaBf16,
                            .element_count = 7,
                            .layout = Sha256("l"),
                            .base = Sha256("b")};
  const std::string bytes = PrintVectorHeader(header);
  ASSERT_EQ(bytes.size(), kVectorHeaderBytes);
  EXPECT_EQ(bytes.substr(0, 8), "weftvec1");
  const VectorHeader read = *ParseVectorHeader(bytes);
  EXPECT_EQ(read.element_count, 7u);
  EXPECT_EQ(read.base, header.base);
  for (const size_t at : {0u, 8u, 12u, 24u, 100u, 127u}) {
    std::string changed = bytes;
    changed[at] ^= 0x40;
    EXPECT_FALSE(ParseVectorHeader(changed).ok()) << at;
  }
  EXPECT_FALSE(ParseVectorHeader(bytes.substr(0, 127)).ok());
  std::string absolute = PrintVectorHeader({.element_count = 7});
  absolute[64] = 1;
  EXPECT_FALSE(ParseVectorHeader(absolute).ok()) << "an absolute vector names no base";
}

TEST(ParameterCodec, Fp32IsExactAndDeltaBf16IsWithinHalfAStep) {
  const std::vector<float> base = Pattern(1000, 1.0f), change = Pattern(1000, 0.01f);
  std::vector<float> x(1000), decoded(1000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = base[i] + change[i];

  std::string bytes;
  ASSERT_TRUE(EncodeElements(Encoding::kParametersFp32, x, {}, 0, &bytes).ok());
  ASSERT_TRUE(
      DecodeElements(Encoding::kParametersFp32, bytes, {}, 0, absl::MakeSpan(decoded)).ok());
  EXPECT_EQ(decoded, x);

  bytes.clear();
  ASSERT_TRUE(EncodeElements(Encoding::kDeltaBf16, x, base, 0, &bytes).ok());
  EXPECT_EQ(bytes.size(), 2000u);
  ASSERT_TRUE(DecodeElements(Encoding::kDeltaBf16, bytes, base, 0, absl::MakeSpan(decoded)).ok());
  for (size_t i = 0; i < x.size(); ++i) {
    const float delta = x[i] - base[i];
    EXPECT_LE(std::abs(decoded[i] - x[i]), std::abs(delta) / 256 + 1e-7f) << i;
  }
  // In place: the base becomes the vector.
  std::vector<float> in_place = base;
  ASSERT_TRUE(
      DecodeElements(Encoding::kDeltaBf16, bytes, in_place, 0, absl::MakeSpan(in_place)).ok());
  EXPECT_EQ(in_place, decoded);
}

TEST(ParameterCodec, RefusesWhatIsNotFinite) {
  std::vector<float> x = Pattern(10, 1.0f);
  const std::vector<float> base(10, 0.0f);
  x[7] = std::numeric_limits<float>::quiet_NaN();
  std::string bytes;
  const absl::Status nan = EncodeElements(Encoding::kParametersFp32, x, {}, 100, &bytes);
  EXPECT_NE(nan.message().find("element 107"), absl::string_view::npos) << nan;
  x[7] = std::numeric_limits<float>::max();  // rounds up to infinity in bf16
  EXPECT_FALSE(EncodeElements(Encoding::kDeltaBf16, x, base, 0, &bytes).ok());
  const uint16_t infinity = 0x7f80;
  std::vector<float> out(1);
  EXPECT_FALSE(DecodeElements(Encoding::kDeltaBf16, {reinterpret_cast<const char*>(&infinity), 2},
                              {base.data(), 1}, 0, absl::MakeSpan(out))
                   .ok());
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
