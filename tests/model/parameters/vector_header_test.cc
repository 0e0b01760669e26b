#include "model/parameters/vector_header.h"

#include <cmath>
#include <cstring>

#include "gtest/gtest.h"

namespace weft {
namespace {

const VectorFormat kFormats[] = {Encoding::kParametersFp32, Encoding::kDeltaBf16,
                                 Encoding::kDeltaInt8, Encoding::kDeltaInt4,
                                 VectorFormat(Encoding::kTopkInt4, 8)};

std::string WithNumber(std::string bytes, size_t offset, uint32_t value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return bytes;
}

uint32_t NumberAt(const std::string& bytes, size_t offset) {
  uint32_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

TEST(VectorHeader, HasOneForm) {
  for (const VectorFormat& format : kFormats) {
    const VectorHeader header{.encoding = format,
                              .element_count = 7,
                              .layout = Sha256("l"),
                              .base = IsDelta(format) ? Sha256("b") : Digest{}};
    const std::string bytes = PrintVectorHeader(header);
    ASSERT_EQ(bytes.size(), kVectorHeaderBytes);
    EXPECT_EQ(bytes.substr(0, 8), "weftvec1");
    const VectorHeader read = *ParseVectorHeader(bytes);
    EXPECT_EQ(read.encoding, format);
    EXPECT_EQ(read.element_count, 7u);
    EXPECT_EQ(read.base, header.base);
    for (const size_t at : {0u, 8u, 12u, 24u, 96u, 100u, 127u}) {
      std::string changed = bytes;
      changed[at] ^= 0x40;
      EXPECT_FALSE(ParseVectorHeader(changed).ok()) << EncodingName(format) << ", byte " << at;
    }
    EXPECT_FALSE(ParseVectorHeader(bytes.substr(0, 127)).ok());
  }
  std::string absolute = PrintVectorHeader({.element_count = 7});
  absolute[64] = 1;
  EXPECT_FALSE(ParseVectorHeader(absolute).ok()) << "an absolute vector names no base";
}

TEST(VectorHeader, SaysTheGridParameters) {
  const std::string topk =
      PrintVectorHeader({.encoding = VectorFormat(Encoding::kTopkInt4, 8), .element_count = 1000});
  EXPECT_EQ(NumberAt(topk, 12), 256u);
  EXPECT_EQ(NumberAt(topk, 96), 8u);
  for (const uint32_t kept : {1u, 64u}) {
    EXPECT_EQ(ParseVectorHeader(WithNumber(topk, 96, kept))->encoding.kept, kept);
  }
  for (const uint32_t kept : {0u, 65u, 256u, 0xffffffffu}) {
    EXPECT_FALSE(ParseVectorHeader(WithNumber(topk, 96, kept)).ok()) << kept;
  }
  EXPECT_NE(ParseVectorHeader(WithNumber(topk, 96, 65)).status().message().find("1 to 64"),
            absl::string_view::npos);
  for (const uint32_t block : {0u, 1u, 64u, 255u, 512u}) {
    EXPECT_FALSE(ParseVectorHeader(WithNumber(topk, 12, block)).ok()) << block;
  }
  EXPECT_EQ(NumberAt(PrintVectorHeader({.encoding = Encoding::kDeltaInt8}), 12), 256u);
  EXPECT_EQ(NumberAt(PrintVectorHeader({.encoding = Encoding::kDeltaInt4}), 12), 64u);
  EXPECT_EQ(NumberAt(PrintVectorHeader({.encoding = Encoding::kDeltaBf16}), 12), 1u);
}

TEST(VectorFormat, IsWhatTheManifestNames) {
  for (const VectorFormat& format : kFormats) {
    EXPECT_EQ(*FormatFromName(EncodingName(format), 0.03), format) << FormatWords(format);
  }
  EXPECT_EQ(FormatFromName("topk_int4", 0.25)->kept, 64u);
  EXPECT_EQ(FormatFromName("topk_int4", 0.01)->kept, 3u);
  EXPECT_EQ(FormatFromName("topk_int4", 1e-9)->kept, 1u) << "something of every block travels";
  for (const double density : {0.0, -0.1, 0.2500001, 1.0, std::nan("")}) {
    EXPECT_FALSE(FormatFromName("topk_int4", density).ok()) << density;
  }
  EXPECT_NE(FormatFromName("int8", 0).status().message().find("delta_int8"),
            absl::string_view::npos)
      << "what is unknown is answered with what is known";
  EXPECT_EQ(FormatWords(VectorFormat(Encoding::kTopkInt4, 8)), "topk_int4, 8 of 256");
  EXPECT_EQ(FormatWords(Encoding::kDeltaInt4), "delta_int4");
}

// By hand from the table of quantize_blocks.h.
TEST(VectorFormat, SizesAreThoseOfTheBlocks) {
  EXPECT_EQ(ElementBytes(Encoding::kParametersFp32, 1000), 4000u);
  EXPECT_EQ(ElementBytes(Encoding::kDeltaBf16, 1000), 2000u);
  EXPECT_EQ(ElementBytes(Encoding::kDeltaInt8, 1000), 1000u + 4 * 4);
  EXPECT_EQ(ElementBytes(Encoding::kDeltaInt8, 1024), 1024u + 4 * 4);
  EXPECT_EQ(ElementBytes(Encoding::kDeltaInt4, 1000), 500u + 16 * 2);
  EXPECT_EQ(ElementBytes(Encoding::kDeltaInt4, 65), 32u + 2 + 2 + 1);
  EXPECT_EQ(ElementBytes(VectorFormat(Encoding::kTopkInt4, 3), 1024), 4u * (2 + 3 + 2));
  EXPECT_EQ(ElementBytes(VectorFormat(Encoding::kTopkInt4, 8), 256 + 5), 14u + (2 + 5 + 3));
  for (const VectorFormat& format : kFormats) {
    EXPECT_EQ(ElementBytes(format, 0), 0u);
    EXPECT_EQ(EncodedBytes(format, 1u << 20), EncodedOffset(format, 1u << 20));
    EXPECT_EQ(EncodedOffset(format, 0), kVectorHeaderBytes);
    EXPECT_EQ(256 % BlockSize(format), 0u) << "fragments begin at multiples of 256";
  }
  // The goal for both directions: at most 0.54 byte per parameter at int4.
  EXPECT_LE(ElementBytes(Encoding::kDeltaInt4, uint64_t{1} << 30), 0.54 * (uint64_t{1} << 30));
}

}  // namespace
}  // namespace weft
