// weft-worker run, as real processes: what one that was killed leaves behind is what an undisturbed
// one leaves.
#include "worker/training/site_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "proto/durable_file.h"
#include "tests/worker/training/tiny_site.h"
#include "tests/worker/training/worker_process.h"
#include "worker/site/site_directory.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class SiteWorkerTest : public ::testing::Test {
 protected:
  SiteWorkerTest() { WriteTinyShards(shards_); }

  std::vector<std::string> RunArguments(const std::string& site) {
    return {
        "run", "--site-directory", folder_ / site, "--data", shards_, "--checkpoint-every-steps",
        "7"};
  }
  // What a gate does when a round opens.
  static void Order(const SiteDirectory& site, RoundOrder order, uint64_t base_seed) {
    const ParameterVector base = TinyVector(base_seed);
    const ParameterLayout layout = *TransformerLayout(TinyModel());
    order.set_base_digest(ToHex(*site.WriteVector(layout.digest(), base.span())));
    ASSERT_TRUE(site.WriteOrder(order).ok());
  }
  static RoundOrder PulledOrder(uint64_t round, uint32_t inner_steps) {
    RoundOrder order = TinyOrder(round, inner_steps);
    order.mutable_consensus()->set_pull(0.3);
    order.mutable_consensus()->set_alpha(0.5);
    return order;
  }
  static bool HasResult(const SiteDirectory& site, uint64_t round) {
    return site.ResultOf(round)->has_value();
  }

  TestFolder folder_{"site_worker"};
  const std::string shards_ = folder_ / "shards";
};

TEST_F(SiteWorkerTest, KilledAndRestartedItGivesTheSameLossesBitForBit) {
  constexpr uint32_t kSteps = 200;
  int kills = 0;
  const auto train = [&](const std::string& name, bool disturbed) {
    const SiteDirectory site = *SiteDirectory::Open(folder_ / name);
    std::optional<Worker> worker(std::in_place, RunArguments(name), folder_ / (name + ".log"));
    for (uint64_t round = 0; round < 2; ++round) {
      Order(site, PulledOrder(round, kSteps), 1 + round);
      // Killed twice in each round: early, and in the middle of later steps.
      for (const size_t lines : {round * kSteps + 3, round * kSteps + 110}) {
        if (!disturbed) break;
        EXPECT_TRUE(Eventually([&] { return Lines(site.training_log()) >= lines; }));
        if (!HasResult(site, round)) ++kills;
        worker.emplace(RunArguments(name), folder_ / (name + ".log"));
      }
      EXPECT_TRUE(Eventually([&] { return HasResult(site, round); }))
          << Text(folder_ / (name + ".log"));
    }
    EXPECT_TRUE(site.Stop("the test is over").ok());
    EXPECT_EQ(worker->Wait(), 0);
    EXPECT_THAT(Text(folder_ / (name + ".log")), HasSubstr("the test is over"));
    return site;
  };
  const SiteDirectory undisturbed = train("undisturbed", false);
  const SiteDirectory disturbed = train("disturbed", true);
  // On a busy machine one may come too late, when the round is done.
  EXPECT_GE(kills, 2);
  EXPECT_EQ(Lines(undisturbed.training_log()), 2 * kSteps);
  EXPECT_EQ(Text(undisturbed.training_log()), Text(disturbed.training_log()));
  for (uint64_t round = 0; round < 2; ++round) {
    EXPECT_EQ((*undisturbed.ResultOf(round))->vector_digest(),
              (*disturbed.ResultOf(round))->vector_digest());
    EXPECT_EQ((*undisturbed.ResultOf(round))->last_loss(),
              (*disturbed.ResultOf(round))->last_loss());
  }
}

TEST_F(SiteWorkerTest, ADamagedCheckpointFallsBackAndTheLossesStayTheSame) {
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  const std::string log = folder_ / "worker.log";
  std::optional<Worker> worker(std::in_place, RunArguments("site"), log);
  Order(site, PulledOrder(0, 60), 1);
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 0); })) << Text(log);
  worker->Kill();
  const std::string expected = Text(site.training_log());
  std::vector<std::string> checkpoints;
  for (const auto& entry : std::filesystem::directory_iterator(site.checkpoint_folder())) {
    checkpoints.push_back(entry.path());
  }
  ASSERT_EQ(checkpoints.size(), 2);
  const std::string newest = std::max(checkpoints[0], checkpoints[1]);
  std::filesystem::resize_file(newest, std::filesystem::file_size(newest) - 1);
  const std::string vector = (*site.ResultOf(0))->vector_digest();
  std::filesystem::remove(folder_ / "site/results/round-000000.textproto");

  worker.emplace(RunArguments("site"), log);
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 0); })) << Text(log);
  EXPECT_THAT(Text(log), HasSubstr("damaged checkpoint"));
  EXPECT_THAT(Text(log), HasSubstr("step=56/60"));
  EXPECT_EQ(Text(site.training_log()), expected);
  EXPECT_EQ((*site.ResultOf(0))->vector_digest(), vector);
}

TEST_F(SiteWorkerTest, MinutesAloneBoundWhatACrashCosts) {
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  const std::string log = folder_ / "worker.log";
  std::vector<std::string> arguments = RunArguments("site");
  arguments.back() = "0";
  arguments.insert(arguments.end(), {"--checkpoint-every-minutes", "0.002"});
  std::optional<Worker> worker(std::in_place, arguments, log);
  Order(site, TinyOrder(0, 1000000), 1);
  const auto checkpoints = [&] {
    return std::distance(std::filesystem::directory_iterator(site.checkpoint_folder()), {});
  };
  ASSERT_TRUE(Eventually([&] { return checkpoints() >= 2; })) << Text(log);
  worker->Kill();
  const size_t before = Lines(site.training_log());
  worker.emplace(arguments, log);
  ASSERT_TRUE(Eventually([&] { return Lines(site.training_log()) > before; })) << Text(log);
  EXPECT_THAT(Text(log), HasSubstr("resum"));
}

TEST_F(SiteWorkerTest, AnOrderWithAResultIsNotTrainedAgain) {
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  const std::string log = folder_ / "worker.log";
  std::optional<Worker> worker(std::in_place, RunArguments("site"), log);
  Order(site, TinyOrder(0, 10), 1);
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 0); })) << Text(log);
  worker->Kill();
  const std::string result = Text(folder_ / "site/results/round-000000.textproto");
  worker.emplace(RunArguments("site"), log);
  ASSERT_TRUE(
      Eventually([&] { return Text(log).find("round 0 is done here") != std::string::npos; }));
  Order(site, TinyOrder(1, 10), 2);
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 1); })) << Text(log);
  EXPECT_EQ(Text(folder_ / "site/results/round-000000.textproto"), result);
  EXPECT_EQ(Lines(site.training_log()), 20);
}

TEST_F(SiteWorkerTest, ANewerOrderOvertakesTheRoundInTraining) {
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  const std::string log = folder_ / "worker.log";
  Worker worker(RunArguments("site"), log);
  Order(site, TinyOrder(0, 1000000), 1);
  ASSERT_TRUE(Eventually([&] { return Lines(site.training_log()) > 5; })) << Text(log);
  RoundOrder later = TinyOrder(3, 10);
  Order(site, later, 2);
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 3); })) << Text(log);
  EXPECT_FALSE(HasResult(site, 0));
  EXPECT_THAT(Text(log), HasSubstr("abandons the round"));
}

TEST_F(SiteWorkerTest, WhenTimeIsUpItEndsTheRoundWithWhatItHasDone) {
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  const std::string log = folder_ / "worker.log";
  Worker worker(RunArguments("site"), log);
  RoundOrder order = TinyOrder(0, 1000000);
  Order(site, order, 1);
  ASSERT_TRUE(Eventually([&] { return Lines(site.training_log()) > 5; })) << Text(log);
  EXPECT_FALSE(HasResult(site, 0));
  order.set_steps_enough(3);
  Order(site, order, 1);
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 0); })) << Text(log);
  const RoundResult result = **site.ResultOf(0);
  EXPECT_GE(result.inner_steps(), 5u);
  EXPECT_LT(result.inner_steps(), 1000000u);
  EXPECT_EQ(result.token_count(), uint64_t{result.inner_steps()} * order.training().batch_size() *
                                      order.training().sequence_length());
  EXPECT_GT(result.last_loss(), 0);
  EXPECT_THAT(Text(log), HasSubstr("time is up"));
  Order(site, TinyOrder(1, 10), 2);  // and goes on
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 1); })) << Text(log);
}

TEST_F(SiteWorkerTest, ASecondWorkerStepsBack) {
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  Worker first(RunArguments("site"), folder_ / "first.log");
  ASSERT_TRUE(Eventually([&] {
    return Text(folder_ / "first.log").find("waiting for the gate's first order") !=
           std::string::npos;
  }));
  Worker second(RunArguments("site"), folder_ / "second.log");
  const pid_t holder = first.pid();
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_THAT(Text(folder_ / "second.log"), HasSubstr("held by " + std::to_string(holder) + "@"));
  first.Terminate();
  EXPECT_EQ(first.Wait(), 0);
}

TEST_F(SiteWorkerTest, RefusesWhatItCannotTrust) {
  const std::string log = folder_ / "worker.log";
  {
    const SiteDirectory site = *SiteDirectory::Open(folder_ / "other_tokenizer");
    RoundOrder order = TinyOrder(0, 4);
    order.set_tokenizer_sha256(ToHex(Sha256("another tokenizer")));
    Order(site, order, 1);
    Worker worker(RunArguments("other_tokenizer"), log);
    EXPECT_EQ(worker.Wait(), 1);
    EXPECT_THAT(Text(log), HasSubstr("tokenizer"));
  }
  {
    const SiteDirectory site = *SiteDirectory::Open(folder_ / "damaged");
    Order(site, TinyOrder(0, 4), 1);
    const std::string blob =
        site.blobs().PathOf(*DigestFromHex((*site.NewestOrder())->base_digest()));
    std::string bytes = Text(blob);
    bytes[bytes.size() / 2] ^= 1;
    ASSERT_TRUE(WriteFileDurably(blob, bytes).ok());
    Worker worker(RunArguments("damaged"), log);
    EXPECT_EQ(worker.Wait(), 1);
    EXPECT_THAT(Text(log), HasSubstr(blob));
  }
}

TEST_F(SiteWorkerTest, TrainsWithoutANetwork) {
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  const std::string log = folder_ / "worker.log";
  if (std::system("unshare --map-root-user --net true 2>/dev/null") != 0) {
    GTEST_SKIP() << "unshare --net is not permitted on this machine";
  }
  Order(site, TinyOrder(0, 20), 1);
  Worker worker(RunArguments("site"), log, {"unshare", "--map-root-user", "--net"});
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 0); })) << Text(log);
  ASSERT_TRUE(site.Stop("enough").ok());
  EXPECT_EQ(worker.Wait(), 0) << Text(log);
}

}  // namespace
}  // namespace weft
