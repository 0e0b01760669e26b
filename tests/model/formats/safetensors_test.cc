#include "model/formats/safetensors.h"

#include <cmath>
#include <cstring>

#include "gtest/gtest.h"
#include "model/formats/half.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

std::string File(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header +
         std::string(data_bytes, '\1');
}

absl::Status Parse(const std::string& file) {
  return ParseSafetensorsHeader(file, file.size(), "test").status();
}

TEST(Safetensors, RoundTripsAndKeepsTensorsAligned) {
  testing::TemporaryFolder folder;
  const ParameterLayout layout = *ParameterLayout::Create({{"a", {2, 3}}, {"b", {4}}});
  std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  ASSERT_TRUE(WriteSafetensors(folder / "m.safetensors", layout, x).ok());
  const ParameterVector read = *ReadSafetensors({folder / "m.safetensors"}, layout);
  EXPECT_EQ(std::memcmp(read.data(), x.data(), 40), 0);
  const SafetensorsHeader header = *ReadSafetensorsHeader(folder / "m.safetensors");
  EXPECT_EQ(header.tensors.at("a").begin % 256, 0u);
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

TEST(Safetensors, NamesWhatIsMissingOfAnotherShapeOrUnknown) {
  testing::TemporaryFolder folder;
  const std::string path = folder / "m.safetensors";
  const ParameterLayout written = *ParameterLayout::Create({{"a", {2, 3}}, {"b", {4}}});
  ASSERT_TRUE(WriteSafetensors(path, written, std::vector<float>(10)).ok());
  const auto message = [&](std::vector<std::pair<std::string, std::vector<int64_t>>> tensors) {
    return std::string(
        ReadSafetensors({path}, *ParameterLayout::Create(std::move(tensors))).status().message());
  };
  EXPECT_NE(message({{"a", {2, 3}}, {"b", {4}}, {"c", {1}}}).find("c is missing"),
            std::string::npos);
  EXPECT_NE(message({{"a", {3, 2}}, {"b", {4}}}).find("2x3"), std::string::npos);
  EXPECT_NE(message({{"a", {2, 3}}}).find("tensor b does not belong"), std::string::npos);
}

TEST(Safetensors, RefusesHostileHeaders) {
  EXPECT_TRUE(Parse(File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4)).ok());
  for (
      const std::string& file : {
          std::string(),
          std::string(7, '\0'),
          File("", 0),
          File("[]", 0),
          File("{", 0),
          File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3),
          File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5),
          File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
          File(R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", 4),
          File(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4),
          File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4),
          File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551612]}})", 4),
          File(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
          File(
              R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
              8),
          File(
              R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
              4),
          File(std::string(100000, '['), 0),
          File("{" + std::string(50, ' ') + "\"a\":" + std::string(5000, '['), 0),
      }) {
    EXPECT_EQ(Parse(file).code(), absl::StatusCode::kDataLoss) << file.substr(0, 120);
  }
  std::string huge = File("{}", 0);
  const uint64_t length = ~uint64_t{0};
  std::memcpy(huge.data(), &length, 8);
  EXPECT_EQ(Parse(huge).code(), absl::StatusCode::kDataLoss);
}

TEST(Half, WidensExactly) {
  EXPECT_EQ(FloatFromBf16(0x3f80), 1.0f);
  EXPECT_EQ(FloatFromFp16(0x3c00), 1.0f);
  EXPECT_EQ(FloatFromFp16(0xc000), -2.0f);
  EXPECT_EQ(FloatFromFp16(0x0001), 0x1p-24f);
  EXPECT_EQ(FloatFromFp16(0x7bff), 65504.0f);
  EXPECT_TRUE(std::signbit(FloatFromFp16(0x8000)));
  EXPECT_TRUE(std::isinf(FloatFromFp16(0x7c00)));
}

}  // namespace
}  // namespace weft
