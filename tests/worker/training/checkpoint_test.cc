#include "worker/training/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "proto/durable_file.h"
#include "tests/worker/training/tiny_site.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CheckpointHeader Header(uint32_t steps_done) {
  CheckpointHeader header;
  header.set_version(1);
  header.set_steps_done(steps_done);
  header.set_first_loss_sum(0.1 + 0.2);  // not a short decimal
  *header.mutable_order() = TinyOrder(3, 10);
  for (const char* name : {"w", "m"}) {
    header.add_vectors()->set_name(name);
    header.mutable_vectors()->rbegin()->set_element_count(3);
  }
  return header;
}

absl::Status Save(CheckpointFolder* folder, uint32_t steps_done) {
  const std::vector<float> w = {1, 2.5f, static_cast<float>(steps_done)}, m = {-1, 0, 1e-30f};
  return folder->Save(Header(steps_done), {w, m});
}

std::vector<std::string> Files(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path().filename());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void FlipBit(const std::string& path, uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const char byte = static_cast<char>(file.get() ^ 4);
  file.seekp(offset);
  file.put(byte);
}

TEST(CheckpointTest, ComesBackAsItWas) {
  TestFolder folder("checkpoint");
  const std::vector<float> w = {1, 2.5f, -3}, m = {-1, 0, 1e-30f};
  ASSERT_TRUE(WriteCheckpoint(folder / "c", Header(5), {w, m}).ok());
  absl::StatusOr<Checkpoint> read = ReadCheckpoint(folder / "c");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->header.SerializeAsString(), Header(5).SerializeAsString());
  ASSERT_EQ(read->vectors.size(), 2);
  EXPECT_EQ(Values(read->vectors[0].span()), w);
  EXPECT_EQ(Values(read->vectors[1].span()), m);
}

TEST(CheckpointTest, TruncationsAndFlippedBitsAreFoundWhereverTheyAre) {
  TestFolder folder("checkpoint_damage");
  const std::vector<float> w = {1, 2.5f, -3}, m = {-1, 0, 1e-30f};
  ASSERT_TRUE(WriteCheckpoint(folder / "c", Header(5), {w, m}).ok());
  const std::string good = *ReadWholeFile(folder / "c");
  const auto status_of = [&](const std::string& bytes) {
    std::ofstream(folder / "d", std::ios::binary | std::ios::trunc) << bytes;
    return ReadCheckpoint(folder / "d").status();
  };
  for (size_t length = 0; length < good.size(); length += 5) {
    EXPECT_TRUE(absl::IsDataLoss(status_of(good.substr(0, length)))) << length;
  }
  EXPECT_TRUE(absl::IsDataLoss(status_of(good + "x")));
  for (size_t i = 0; i < good.size(); i += 5) {
    std::string bad = good;
    bad[i] ^= 4;
    EXPECT_FALSE(status_of(bad).ok()) << i;
  }
}

TEST(CheckpointTest, TakesNoMemoryForLengthsThatTheFileDoesNotHave) {
  TestFolder folder("checkpoint_hostile");
  const std::vector<float> w = {1, 2.5f, -3}, m = {-1, 0, 1e-30f};
  ASSERT_TRUE(WriteCheckpoint(folder / "c", Header(5), {w, m}).ok());
  std::string bytes = *ReadWholeFile(folder / "c");
  const std::string from = "element_count: 3", to = "element_count: 999999999999999999";
  bytes.replace(bytes.find(from), from.size(), to);
  // The header's own length, as the file states it, follows.
  const uint64_t header_bytes = bytes.size() - 16 - 2 * 3 * sizeof(float) - 32;
  bytes[8] = static_cast<char>(header_bytes & 0xff);
  bytes[9] = static_cast<char>(header_bytes >> 8);
  std::ofstream(folder / "d", std::ios::binary) << bytes;
  EXPECT_THAT(std::string(ReadCheckpoint(folder / "d").status().message()),
              HasSubstr("longer than the file"));
}

TEST(CheckpointFolderTest, KeepsTheLastTwo) {
  TestFolder folder("checkpoint_two");
  auto checkpoints = *CheckpointFolder::Open(folder / "c");
  std::vector<std::string> warnings;
  EXPECT_FALSE(checkpoints.LoadNewest(&warnings)->has_value());
  for (uint32_t step : {10, 20, 30}) ASSERT_TRUE(Save(&checkpoints, step).ok());
  EXPECT_THAT(Files(folder / "c"),
              ElementsAre("checkpoint-00000002.weft", "checkpoint-00000003.weft"));
  auto again = *CheckpointFolder::Open(folder / "c");
  EXPECT_EQ((*again.LoadNewest(&warnings))->header.steps_done(), 30);
  EXPECT_TRUE(warnings.empty());
}

TEST(CheckpointFolderTest, ADamagedOneFallsBackToTheOneBeforeIt) {
  TestFolder folder("checkpoint_back");
  {
    auto checkpoints = *CheckpointFolder::Open(folder / "c");
    for (uint32_t step : {10, 20, 30}) ASSERT_TRUE(Save(&checkpoints, step).ok());
  }
  FlipBit(folder / "c/checkpoint-00000003.weft",
          std::filesystem::file_size(folder / "c/checkpoint-00000003.weft") - 40);
  auto checkpoints = *CheckpointFolder::Open(folder / "c");
  std::vector<std::string> warnings;
  EXPECT_EQ((*checkpoints.LoadNewest(&warnings))->header.steps_done(), 20);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("checkpoint-00000003.weft: damaged")));

  // Going on keeps the good one, not the damaged one.
  ASSERT_TRUE(Save(&checkpoints, 25).ok());
  EXPECT_THAT(Files(folder / "c"),
              ElementsAre("checkpoint-00000002.weft", "checkpoint-00000004.weft"));
}

TEST(CheckpointFolderTest, WhenAllAreDamagedAPersonDecides) {
  TestFolder folder("checkpoint_none");
  auto checkpoints = *CheckpointFolder::Open(folder / "c");
  for (uint32_t step : {10, 20}) ASSERT_TRUE(Save(&checkpoints, step).ok());
  for (const std::string& file : Files(folder / "c")) FlipBit(folder / ("c/" + file), 20);
  std::vector<std::string> warnings;
  const absl::Status status = checkpoints.LoadNewest(&warnings).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("all 2 checkpoints are damaged"));
}

}  // namespace
}  // namespace weft
