// The command line of weft-worker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "model/formats/huggingface.h"
#include "proto/text_file.h"
#include "tests/worker/training/tiny_site.h"
#include "tests/worker/training/worker_process.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

TEST(WorkerMainTest, BadUsageIsTwoAndHelpIsZero) {
  TestFolder folder("worker_main");
  const std::string log = folder / "log";
  EXPECT_EQ(Worker({"run"}, log).Wait(), 2);
  EXPECT_EQ(Worker({"dance"}, log).Wait(), 2);
  EXPECT_EQ(Worker({"run", "--site-directory", folder / "site", "--data", folder / "shards",
                    "--slots", folder / "slots"},
                   log)
                .Wait(),
            2)
      << "--slots without --slot-count";
  EXPECT_EQ(Worker({"island", "--help"}, log).Wait(), 0);
  EXPECT_THAT(Text(log), HasSubstr("Example:"));
}

// What is measured differs by machine; that it adds up does not.
TEST(WorkerMainTest, BenchStatesItsFloor) {
  TestFolder folder("worker_bench");
  RunManifest manifest;
  *manifest.mutable_model() = TinyModel();
  ASSERT_TRUE(WriteTextProto(folder / "run.textproto", manifest).ok());
  const std::string log = folder / "log";
  ASSERT_EQ(Worker({"bench", "--manifest", folder / "run.textproto", "--batch", "2", "--sequence",
                    "16", "--steps", "3", "--json"},
                   log)
                .Wait(),
            0)
      << Text(log);
  const nlohmann::json report = nlohmann::json::parse(Text(log));
  EXPECT_GT(report["tokens_per_second"], 0);
  EXPECT_EQ(report["parameters"], TransformerLayout(TinyModel())->element_count());
  // By hand: a layer 16 * (2 * 16 + 2 * 8) + 3 * 16 * 32 = 2304, two of them, and the head 16 *
  // 128; attention 6 * 16 * 16 in each layer.
  EXPECT_EQ(report["flops_per_token"], 6 * (2 * 2304 + 2048) + 2 * 6 * 16 * 16);
  EXPECT_DOUBLE_EQ(
      report["share_of_floor"].get<double>(),
      report["tokens_per_second"].get<double>() / report["floor_tokens_per_second"].get<double>());
  EXPECT_GT(report["gradients_share"], 0);
  EXPECT_LT(report["gradients_share"], 1);
}

}  // namespace
}  // namespace weft
