// weft-worker island, as real processes.
#include "worker/training/island.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "model/formats/huggingface.h"
#include "proto/text_file.h"
#include "tests/worker/training/tiny_site.h"
#include "tests/worker/training/worker_process.h"
#include "worker/site/site_directory.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class IslandTest : public ::testing::Test {
 protected:
  IslandTest() {
    WriteTinyShards(shards_);

    RunManifest manifest;
    manifest.set_protocol_version(1);
    manifest.set_run_id("tiny");
    manifest.set_seed(7);
    *manifest.mutable_model() = TinyModel();
    *manifest.mutable_training() = TinyTraining();
    manifest.mutable_rounds()->set_round_count(10);
    manifest.mutable_rounds()->set_inner_steps(30);
    manifest.set_tokenizer_sha256(TinyTokenizerSha256());
    WEFT_CHECK(WriteTextProto(folder_ / "run.textproto", manifest).ok());
    WEFT_CHECK(WriteHuggingFaceFolder(folder_ / "initial", TinyModel(), TinyVector().span(), "",
                                      {{"tokenizer.model", "tiny tokenizer"},
                                       {"tokenizer.json", "{}"},
                                       {"tokenizer_config.json", "{}"},
                                       {"special_tokens_map.json", "{}"}})
                   .ok());
  }
  std::vector<std::string> IslandArguments(const std::string& out) {
    return {"island",
            "--manifest",
            folder_ / "run.textproto",
            "--initial",
            folder_ / "initial",
            "--data",
            shards_,
            "--site",
            "site-a",
            "--out",
            folder_ / out,
            "--checkpoint-every-steps",
            "20"};
  }

  TestFolder folder_{"island"};
  const std::string shards_ = folder_ / "shards";
};

TEST_F(IslandTest, AnIslandKilledAndRestartedWritesTheSameBytes) {
  const std::string log = folder_ / "island.log";
  EXPECT_EQ(Worker(IslandArguments("undisturbed"), log).Wait(), 0) << Text(log);
  EXPECT_THAT(Text(log), HasSubstr("tokens_per_second="));

  const std::string training_log = folder_ / "disturbed.training/training_log.jsonl";
  for (const size_t lines : {5, 130}) {
    Worker worker(IslandArguments("disturbed"), log);
    ASSERT_TRUE(Eventually([&] { return Lines(training_log) >= lines; })) << Text(log);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "disturbed"));
  EXPECT_EQ(Worker(IslandArguments("disturbed"), log).Wait(), 0) << Text(log);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "disturbed.training"));
  for (const char* file : {"model.safetensors", "config.json", "training_log.jsonl"}) {
    const std::string expected = Text(folder_ / (std::string("undisturbed/") + file));
    EXPECT_FALSE(expected.empty()) << file;
    EXPECT_EQ(Text(folder_ / (std::string("disturbed/") + file)), expected) << file;
  }
  EXPECT_EQ(Lines(folder_ / "undisturbed/training_log.jsonl"), 300);
  EXPECT_EQ(Worker(IslandArguments("disturbed"), log).Wait(), 1) << "it is there already";
}

// With one site, fp32 and outer SGD 1.0 the consensus is the site's vector; alpha 1 and no pull
// leave it as it is.
TEST_F(IslandTest, RoundsThatReturnTheSitesVectorAreTheIslandBitForBit) {
  const std::string log = folder_ / "worker.log";
  ASSERT_EQ(Worker(IslandArguments("island"), log).Wait(), 0) << Text(log);
  const HuggingFaceModel island = *ReadHuggingFaceFolder(folder_ / "island");

  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  Worker worker({"run", "--site-directory", folder_ / "site", "--data", shards_}, log);
  std::string base = ToHex(*site.WriteVector(island.layout.digest(), TinyVector().span()));
  for (uint64_t round = 0; round < 10; ++round) {
    RoundOrder order = TinyOrder(round, 30, 10);
    order.set_base_digest(base);
    ASSERT_TRUE(site.WriteOrder(order).ok());
    ASSERT_TRUE(Eventually([&] { return site.ResultOf(round)->has_value(); })) << Text(log);
    base = (*site.ResultOf(round))->vector_digest();
  }
  const ParameterVector x = *site.ReadVector(*DigestFromHex(base), island.layout.digest());
  EXPECT_EQ(Values(x.span()), Values(island.vector.span()));
}

TEST_F(IslandTest, ATerminatedIslandSaysHowToGoOn) {
  const std::string log = folder_ / "island.log";
  std::vector<std::string> arguments = IslandArguments("out");
  arguments.insert(arguments.end(), {"--steps", "1000000"});
  Worker worker(arguments, log);
  ASSERT_TRUE(Eventually([&] { return Lines(folder_ / "out.training/training_log.jsonl") > 5; }));
  worker.Terminate();
  EXPECT_EQ(worker.Wait(), 1);
  EXPECT_THAT(Text(log), HasSubstr("the same command goes on"));
}

TEST_F(IslandTest, WaitsForItsTurnWhenAnotherHasTheOnlySlot) {
  const auto with_slot = [&](const std::string& out, const std::string& steps) {
    std::vector<std::string> arguments = IslandArguments(out);
    arguments.insert(arguments.end(),
                     {"--steps", steps, "--slots", folder_ / "slots", "--slot-count", "1"});
    return arguments;
  };
  Worker first(with_slot("first", "1000000"), folder_ / "first.log");
  ASSERT_TRUE(Eventually([&] { return Lines(folder_ / "first.training/training_log.jsonl") > 0; }));
  Worker second(with_slot("second", "5"), folder_ / "second.log");
  ASSERT_TRUE(Eventually([&] {
    return Text(folder_ / "second.log").find("waiting for one of 1 compute slots") !=
           std::string::npos;
  }));
  EXPECT_EQ(Lines(folder_ / "second.training/training_log.jsonl"), 0);
  first.Kill();
  EXPECT_EQ(second.Wait(), 0) << Text(folder_ / "second.log");
}

// Said before the training, not after it.
TEST_F(IslandTest, RefusesAnInitialFolderThatIsNotTheManifests) {
  const std::string log = folder_ / "island.log";
  ASSERT_TRUE(WriteFileDurably(folder_ / "initial/tokenizer.model", "another").ok());
  EXPECT_EQ(Worker(IslandArguments("out"), log).Wait(), 1);
  EXPECT_THAT(Text(log), HasSubstr("tokenizer.model"));
  std::filesystem::remove(folder_ / "initial/tokenizer.json");
  ASSERT_TRUE(WriteFileDurably(folder_ / "initial/tokenizer.model", "tiny tokenizer").ok());
  EXPECT_EQ(Worker(IslandArguments("out"), log).Wait(), 1);
  EXPECT_THAT(Text(log), HasSubstr("tokenizer.json"));
}

}  // namespace
}  // namespace weft
