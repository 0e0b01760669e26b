#include "tokenizer/shard_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_replace.h"
#include "proto/durable_file.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

ShardManifest Example() {
  return {
      .tokenizer_sha256 = std::string(64, 'a'),
      .vocabulary_size = 2048,
      .train = {.documents = 5,
                .tokens = 70,
                .bytes = 200,
                .shards = {{"train-00000.tokens", std::string(64, 'b'), 300, 3, 40},
                           {"train-00001.tokens", std::string(64, 'c'), 301, 2, 30}}},
      .held_out = {.documents = 1,
                   .tokens = 9,
                   .bytes = 20,
                   .shards = {{"held_out-00000.tokens", std::string(64, 'd'), 150, 1, 9}}},
      .held_out_text_sha256 = std::string(64, 'e'),
      .empty_documents = 6,
      .skipped_documents = 7,
      .lower_one_eighth_blocks = 8,
  };
}

// The example with `from` replaced, which must be in it.
void ExpectRefused(const std::string& from, const std::string& to, const std::string& what) {
  const std::string json = PrintShardManifest(Example());
  ASSERT_THAT(json, HasSubstr(from));
  const auto manifest = ParseShardManifest(absl::StrReplaceAll(json, {{from, to}}), "m.json");
  EXPECT_EQ(manifest.status().code(), absl::StatusCode::kDataLoss) << to;
  EXPECT_EQ(std::string(manifest.status().message()), "m.json: " + what);
}

TEST(ShardManifest, ComesBack) {
  const std::string json = PrintShardManifest(Example());
  const auto manifest = ParseShardManifest(json, "m.json");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(PrintShardManifest(*manifest), json);
  EXPECT_EQ(manifest->train.shards[1].file, "train-00001.tokens");
  EXPECT_EQ(manifest->train.shards[1].tokens, 30);
  EXPECT_EQ(manifest->held_out.bytes, 20);
  EXPECT_EQ(manifest->lower_one_eighth_blocks, 8);
}

TEST(ShardManifest, NamesTheFirstFieldThatIsWrong) {
  ExpectRefused("weft-token-shards-1", "weft-token-shards-2",
                "\"format\" is not weft-token-shards-1");
  ExpectRefused("\"vocabulary_size\": 2048", "\"x\": 1", "\"vocabulary_size\" is not there");
  ExpectRefused(": 2048", ": 0", "\"vocabulary_size\" is not in [1, 2^31)");
  ExpectRefused(": 2048", ": 2147483648", "\"vocabulary_size\" is not in [1, 2^31)");
  ExpectRefused(": 2048", ": -1", "\"vocabulary_size\" is not a count");
  ExpectRefused(": 200", ": 2e2", "\"text_bytes\" is not a count");
  ExpectRefused(": 200", ": 99999999999999999999", "\"text_bytes\" is not a count");
  ExpectRefused("\"" + std::string(64, 'a') + "\"", "\"aa\"",
                "\"tokenizer_sha256\" is not 64 hexadecimal digits");
  ExpectRefused(std::string(64, 'b'), std::string(64, 'g'),
                "\"sha256\" is not 64 hexadecimal digits");
  ExpectRefused("\"held_out\": {", "\"held\": {", "\"held_out\" is not there");
}

TEST(ShardManifest, RefusesNamesThatLeadOutOfTheFolder) {
  for (const char* name : {"", ".", "..", "../x.tokens", "/etc/passwd", "a/b.tokens", ".hidden"})
    ExpectRefused("train-00000.tokens", name, "\"file\" is not a plain file name");
  ExpectRefused("\"train-00000.tokens\"", "[]", "\"file\" is not a string");
  ExpectRefused("train-00000.tokens", "a\\u0000b", "\"file\" is not a plain file name");
}

TEST(ShardManifest, RefusesTotalsThatAreNotTheShardsSum) {
  ExpectRefused("\"documents\": 5", "\"documents\": 6",
                "\"documents\" is not the sum over the shards");
  ExpectRefused("\"tokens\": 70", "\"tokens\": 69", "\"tokens\" is not the sum over the shards");
  // Sums that wrap around.
  ExpectRefused("\"tokens\": 40", "\"tokens\": 18446744073709551615",
                "\"tokens\" is not the sum over the shards");
}

TEST(ShardManifest, RefusesWhatIsNoManifest) {
  for (const std::string& json :
       {std::string(), std::string("{"), std::string("\xff"), std::string("{\"a\": NaN}"),
        std::string(100000, '['), "{\"a\":" + std::string(100000, '[')}) {
    EXPECT_EQ(std::string(ParseShardManifest(json, "m").status().message()), "m: not JSON");
  }
  for (const char* json : {"[]", "3", "null", "\"format\"", "{}", R"({"train": []})"})
    EXPECT_THAT(std::string(ParseShardManifest(json, "m").status().message()),
                HasSubstr("\"format\" is not there"));
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_FALSE(ParseShardManifest(deep, "m").ok());
}

TEST(ShardManifest, TakesNoLongerForManyNames) {
  std::string json = "{";
  for (int i = 0; i < 100000; ++i) json += "\"name" + std::to_string(i) + "\":1,";
  EXPECT_FALSE(ParseShardManifest(json + "\"end\":1}", "m").ok());
}

TEST(ShardManifest, SaysWhenAFolderWasNotPrepared) {
  testing::TemporaryFolder folder;
  const auto none = ReadShardManifest(folder.path());
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("weft-tokenizer prepare"));
  ASSERT_TRUE(WriteFileDurably(folder / "manifest.json", PrintShardManifest(Example())).ok());
  EXPECT_TRUE(ReadShardManifest(folder.path()).ok());
}

}  // namespace
}  // namespace weft
