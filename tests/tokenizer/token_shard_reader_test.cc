#include "tokenizer/token_shard_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/durable_file.h"
#include "tests/testing/temporary_folder.h"
#include "tests/tokenizer/byte_tokenizer.h"
#include "tokenizer/shard_manifest.h"
#include "tokenizer/token_shard_writer.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class TokenShardReaderTest : public ::testing::Test {
 protected:
  // A folder of `count` documents, all trained on; appends their tokens to `all_`.
  std::string Prepare(const std::string& name, int count, uint64_t shard_tokens_max) {
    const std::string path = folder_ / name;
    auto writer = TokenShardWriter::Create(path, tokenizer_,
                                           {.held_out = 0, .shard_tokens_max = shard_tokens_max});
    EXPECT_TRUE(writer.ok()) << writer.status();
    for (int i = 0; i < count; ++i) {
      const std::string text = absl::StrCat(name, " ", i * i * i);
      EXPECT_TRUE((*writer)->Add(text).ok());
      all_.push_back(kBeginId);
      for (const int32_t id : tokenizer_.Encode(text)) all_.push_back(id);
      all_.push_back(kEndId);
    }
    EXPECT_TRUE((*writer)->Finish().ok());
    return path;
  }
  absl::StatusOr<TokenDataset> Open(const std::vector<std::string>& folders, int length = 16) {
    return TokenDataset::Open(folders, tokenizer_.model_sha256(), length);
  }
  void ExpectRefused(const absl::Status& status, absl::StatusCode code, const std::string& what) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
  }

  testing::TemporaryFolder folder_;
  testing::ByteTokenizer tokenizer_;
  std::vector<int32_t> all_;
};

TEST_F(TokenShardReaderTest, SamplesAreWindowsOfTheConcatenation) {
  const std::vector<std::string> folders = {Prepare("one", 40, 30), Prepare("two", 25, 1),
                                            Prepare("three", 30, 1 << 20)};
  for (const int length : {1, 2, 7, 16, 100, static_cast<int>(all_.size()) - 1}) {
    const auto data = Open(folders, length);
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ(data->token_count(), all_.size());
    EXPECT_EQ(data->sequence_length(), length);
    ASSERT_EQ(data->sample_count(), (all_.size() - 1) / static_cast<size_t>(length));
    std::vector<int32_t> sample(static_cast<size_t>(length) + 1);
    for (uint64_t i = 0; i < data->sample_count(); ++i) {
      data->ReadSample(i, absl::MakeSpan(sample));
      const auto begin = all_.begin() + static_cast<std::ptrdiff_t>(i) * length;
      ASSERT_EQ(sample, std::vector<int32_t>(begin, begin + length + 1)) << length << " " << i;
    }
  }
}

TEST_F(TokenShardReaderTest, TheHeldOutSideIsReadAlone) {
  auto writer = TokenShardWriter::Create(folder_ / "split", tokenizer_, {.held_out = 0.5});
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE((*writer)->Add(absl::StrCat("document ", i * i)).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  const std::vector<std::string> folders = {folder_ / "split"};
  const absl::StatusOr<ShardManifest> manifest = ReadShardManifest(folders[0]);
  ASSERT_GT(manifest->held_out.tokens, 16);
  const auto held_out = TokenDataset::Open(folders, tokenizer_.model_sha256(), 16, Split::kHeldOut);
  ASSERT_TRUE(held_out.ok()) << held_out.status();
  EXPECT_EQ(held_out->token_count(), manifest->held_out.tokens);
  EXPECT_EQ(Open(folders)->token_count(), manifest->train.tokens);

  const std::string none = Prepare("one", 40, 1 << 20);
  ExpectRefused(TokenDataset::Open(std::vector<std::string>{none}, tokenizer_.model_sha256(), 16,
                                   Split::kHeldOut)
                    .status(),
                absl::StatusCode::kInvalidArgument, "the held-out data holds 0 tokens");
}

TEST_F(TokenShardReaderTest, RefusesTextForLessThanOneSample) {
  const std::string folder = Prepare("one", 2, 1 << 20);
  const int tokens = static_cast<int>(all_.size());
  EXPECT_TRUE(Open({folder}, tokens - 1).ok());
  ExpectRefused(Open({folder}, tokens).status(), absl::StatusCode::kInvalidArgument,
                absl::StrCat("holds ", tokens, " tokens, one sample needs ", tokens + 1));
  ExpectRefused(Open({}).status(), absl::StatusCode::kInvalidArgument, "holds 0 tokens");
}

TEST_F(TokenShardReaderTest, RefusesAnotherTokenizer) {
  const std::string folder = Prepare("one", 10, 1 << 20);
  const std::string other(64, 'a');
  const auto data = TokenDataset::Open(std::vector<std::string>{folder}, other, 16);
  ExpectRefused(data.status(), absl::StatusCode::kInvalidArgument, other);
  ExpectRefused(data.status(), absl::StatusCode::kInvalidArgument, tokenizer_.model_sha256());
  // Nor does an edited manifest pass: the shards name their tokenizer too.
  auto manifest = *ReadShardManifest(folder);
  manifest.tokenizer_sha256 = other;
  ASSERT_TRUE(WriteFileDurably(folder + "/manifest.json", PrintShardManifest(manifest)).ok());
  ExpectRefused(TokenDataset::Open(std::vector<std::string>{folder}, other, 16).status(),
                absl::StatusCode::kDataLoss, "another tokenizer than manifest.json names");
}

TEST_F(TokenShardReaderTest, RefusesAFolderThatIsNotWhole) {
  ExpectRefused(Open({folder_ / "none"}).status(), absl::StatusCode::kNotFound,
                "make one with weft-tokenizer prepare");
  const std::string folder = Prepare("one", 20, 50);
  const std::string shard = folder + "/train-00001.tokens";
  const std::string bytes = *ReadWholeFile(shard);

  ASSERT_TRUE(WriteFileDurably(shard, bytes.substr(0, bytes.size() - 8)).ok());
  ExpectRefused(Open({folder}).status(), absl::StatusCode::kDataLoss, "train-00001.tokens: not a");
  ASSERT_TRUE(WriteFileDurably(shard, "").ok());
  ExpectRefused(Open({folder}).status(), absl::StatusCode::kDataLoss, "empty, or not a plain file");
  std::filesystem::copy_file(folder + "/train-00000.tokens", shard,
                             std::filesystem::copy_options::overwrite_existing);
  auto manifest = *ReadShardManifest(folder);
  manifest.train.shards[1].tokens += 1;
  manifest.train.tokens += 1;
  ASSERT_TRUE(WriteFileDurably(folder + "/manifest.json", PrintShardManifest(manifest)).ok());
  ExpectRefused(Open({folder}).status(), absl::StatusCode::kDataLoss, "manifest.json says");
  std::filesystem::remove(shard);
  ExpectRefused(Open({folder}).status(), absl::StatusCode::kNotFound, "train-00001.tokens");
  std::filesystem::create_directory(shard);
  ExpectRefused(Open({folder}).status(), absl::StatusCode::kDataLoss, "not a plain file");
}

TEST_F(TokenShardReaderTest, OutOfRangeIsOurOwnMistake) {
  const std::string folder = Prepare("one", 20, 1 << 20);
  const auto data = Open({folder});
  std::vector<int32_t> sample(17), short_sample(16);
  EXPECT_DEATH(data->ReadSample(data->sample_count(), absl::MakeSpan(sample)), "");
  EXPECT_DEATH(data->ReadSample(0, absl::MakeSpan(short_sample)), "");
  const auto shard = TokenShard::Open(folder + "/train-00000.tokens");
  EXPECT_DEATH((*shard)->Read((*shard)->token_count(), absl::MakeSpan(sample)), "");
  EXPECT_DEATH((*shard)->Read(~uint64_t{0}, absl::MakeSpan(sample)), "");
}

}  // namespace
}  // namespace weft
