#include "tokenizer/token_shard_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/digest.h"
#include "proto/durable_file.h"
#include "tests/testing/temporary_folder.h"
#include "tests/tokenizer/byte_tokenizer.h"
#include "tokenizer/token_shard_reader.h"

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

std::vector<std::string> Documents(int count) {
  std::vector<std::string> documents;
  for (int i = 0; i < count; ++i) documents.push_back(absl::StrCat("document ", i * i));
  return documents;
}

class TokenShardWriterTest : public ::testing::Test {
 protected:
  absl::StatusOr<ShardManifest> Write(const std::string& name,
                                      const std::vector<std::string>& documents,
                                      const ShardOptions& options) {
    auto writer = TokenShardWriter::Create(folder_ / name, tokenizer_, options);
    if (!writer.ok()) return writer.status();
    for (const std::string& text : documents) {
      if (absl::Status status = (*writer)->Add(text); !status.ok()) return status;
    }
    return (*writer)->Finish();
  }
  // The documents of one side, as its shards hold them.
  std::vector<std::string> ReadSide(const std::string& name, const ShardSplit& split) {
    std::vector<std::string> documents;
    for (const ShardEntry& entry : split.shards) {
      const std::string path = absl::StrCat(folder_ / name, "/", entry.file);
      EXPECT_EQ(ToHex(*Sha256OfFile(path)), entry.sha256);
      EXPECT_EQ(fs::file_size(path), entry.bytes);
      const auto shard = TokenShard::Open(path);
      EXPECT_TRUE(shard.ok()) << shard.status();
      if (!shard.ok()) return {};
      EXPECT_EQ((*shard)->token_count(), entry.tokens);
      EXPECT_EQ((*shard)->document_count(), entry.documents);
      for (uint64_t i = 0; i < (*shard)->document_count(); ++i) {
        const uint64_t begin = (*shard)->DocumentStart(i);
        std::vector<int32_t> ids((*shard)->DocumentEnd(i) - begin);
        (*shard)->Read(begin, absl::MakeSpan(ids));
        EXPECT_EQ(ids.front(), kBeginId);
        EXPECT_EQ(ids.back(), kEndId);
        documents.push_back(tokenizer_.Decode(ids));
      }
    }
    return documents;
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      names.push_back(entry.path().filename().string());
    return names;
  }

  testing::TemporaryFolder folder_;
  testing::ByteTokenizer tokenizer_;
};

TEST_F(TokenShardWriterTest, EveryDocumentIsOnOneSideInOrder) {
  const std::vector<std::string> documents = Documents(1000);
  const auto manifest = Write("out", documents, {.held_out = 0.2, .shard_tokens_max = 700});
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  const std::vector<std::string> train = ReadSide("out", manifest->train);
  const std::vector<std::string> held_out = ReadSide("out", manifest->held_out);
  const std::set<std::string> held_out_set(held_out.begin(), held_out.end());
  std::vector<std::string> expected_train, expected_held_out;
  for (const std::string& text : documents)
    (held_out_set.count(text) > 0 ? expected_held_out : expected_train).push_back(text);
  EXPECT_EQ(train, expected_train);
  EXPECT_EQ(held_out, expected_held_out);
  // 1000 draws of 0.2: a standard deviation of 12.6.
  EXPECT_NEAR(static_cast<double>(held_out.size()), 200, 64);

  uint64_t bytes = 0;
  for (const std::string& text : train) bytes += text.size();
  EXPECT_EQ(manifest->train.bytes, bytes);
  EXPECT_EQ(manifest->train.documents, train.size());
  EXPECT_EQ(manifest->train.tokens, bytes + 2 * train.size());
  EXPECT_EQ(manifest->tokenizer_sha256, tokenizer_.model_sha256());
  EXPECT_EQ(PrintShardManifest(*ReadShardManifest(folder_ / "out")), PrintShardManifest(*manifest));
}

TEST_F(TokenShardWriterTest, BeginsANewShardAtTheFirstDocumentThatReachesTheSize) {
  const std::vector<std::string> documents = {"abcd", "abcde", "abcdefghijklmnop", "a", "b", "c"};
  const auto manifest = Write("out", documents, {.held_out = 0, .shard_tokens_max = 10});
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  std::vector<uint64_t> tokens;
  for (const ShardEntry& entry : manifest->train.shards) tokens.push_back(entry.tokens);
  EXPECT_EQ(tokens, (std::vector<uint64_t>{13, 18, 9}));
  EXPECT_EQ(manifest->train.shards[1].file, "train-00001.tokens");
  EXPECT_EQ(ReadSide("out", manifest->train), documents);
}

TEST_F(TokenShardWriterTest, TheSplitFollowsFromTheTextAlone) {
  std::vector<std::string> documents = Documents(300);
  const auto first = Write("first", documents, {.held_out = 0.3});
  std::reverse(documents.begin(), documents.end());
  documents.insert(documents.end(), documents.begin(), documents.begin() + 100);  // repeated ones
  const auto second = Write("second", documents, {.held_out = 0.3, .shard_tokens_max = 50});
  ASSERT_TRUE(first.ok() && second.ok());
  const auto as_set = [](const std::vector<std::string>& list) {
    return std::set<std::string>(list.begin(), list.end());
  };
  EXPECT_EQ(as_set(ReadSide("first", first->train)), as_set(ReadSide("second", second->train)));
  EXPECT_EQ(as_set(ReadSide("first", first->held_out)),
            as_set(ReadSide("second", second->held_out)));
  // A larger share holds out what a smaller one does, and more.
  const auto more = Write("more", documents, {.held_out = 0.6});
  const std::set<std::string> larger = as_set(ReadSide("more", more->held_out));
  for (const std::string& text : ReadSide("first", first->held_out))
    EXPECT_EQ(larger.count(text), 1) << text;
}

// The first 8 bytes, big-endian, of `printf 'weft-held-out-1TEXT' | sha256sum`, over 2^64:
// a 0.610, b 0.928, c 0.933, d 0.066, e 0.311, f 0.915.
TEST_F(TokenShardWriterTest, HoldsOutByTheDrawnRule) {
  const std::vector<std::string> documents = {"a", "b", "c", "d", "e", "f"};
  const auto manifest = Write("out", documents, {.held_out = 0.4});
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_THAT(ReadSide("out", manifest->held_out), ::testing::ElementsAre("d", "e"));
}

TEST_F(TokenShardWriterTest, KeepsTheHeldOutTextForScoring) {
  const auto manifest = Write("out", Documents(100), {.held_out = 0.5});
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  std::string expected;
  for (const std::string& text : ReadSide("out", manifest->held_out))
    absl::StrAppend(&expected, expected.empty() ? "" : "\n\n", text);
  const auto text = ReadWholeFile(folder_ / "out/held_out.txt");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, expected);
  EXPECT_EQ(manifest->held_out_text_sha256, ToHex(Sha256(*text)));
}

TEST_F(TokenShardWriterTest, CountsTheCharacterThatDoesNotComeBack) {
  const auto manifest =
      Write("out", {"a\xe2\x96\x81\xe2\x96\x81", "b\xe2\x96\x81"}, {.held_out = 0});
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->lower_one_eighth_blocks, 3);
}

TEST_F(TokenShardWriterTest, SameInputGivesSameBytes) {
  const ShardOptions options{.held_out = 0.2, .shard_tokens_max = 700};
  ASSERT_TRUE(Write("a", Documents(200), options).ok());
  ASSERT_TRUE(Write("b", Documents(200), options).ok());
  std::map<std::string, std::string> digests[2];
  for (int i = 0; i < 2; ++i) {
    for (const auto& entry : fs::directory_iterator(folder_ / (i == 0 ? "a" : "b")))
      digests[i][entry.path().filename().string()] = ToHex(*Sha256OfFile(entry.path().string()));
  }
  EXPECT_GT(digests[0].size(), 4u);
  EXPECT_EQ(digests[0], digests[1]);
}

TEST_F(TokenShardWriterTest, LeavesNothingWhenItCannotFinish) {
  const auto refused = [&](const std::vector<std::string>& documents, double share,
                           const std::string& what) {
    const auto manifest = Write("out", documents, {.held_out = share, .shard_tokens_max = 5});
    EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(manifest.status().message()), HasSubstr(what));
    EXPECT_THAT(Names(), IsEmpty());
  };
  refused({}, 0, "no document to train on");
  refused({}, 0.5, "no document to train on");
  refused({"d"}, 0.01, "--documents lines");  // trained on
  refused({"b", "b"}, 0.99999, "(2 held out, 0 empty, 0 skipped) (--documents lines");
  refused({"a"}, 1, "at least 0 and below 1");
  refused({"a"}, -0.1, "at least 0 and below 1");
  {
    auto writer = TokenShardWriter::Create(folder_ / "out", tokenizer_, {});
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Add("abandoned").ok());
  }
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(TokenShardWriterTest, NeverOverwrites) {
  ASSERT_TRUE(Write("out", {"a"}, {.held_out = 0}).ok());
  const auto again = Write("out", {"b"}, {.held_out = 0});
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReadShardManifest(folder_ / "out")->train.documents, 1);
  EXPECT_EQ(Names(), std::vector<std::string>{"out"});
}

}  // namespace
}  // namespace weft
