// weft-worker run, as real processes, where an order is more than a base: fragments, steps ahead,
// anchors, validation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "model/parameters/fragment_range.h"
#include "tests/worker/training/tiny_site.h"
#include "tests/worker/training/worker_process.h"
#include "worker/site/site_directory.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kRounds = 3, kSteps = 60, kFragments = 2, kDelay = 8;

class SiteWorkerSchemesTest : public ::testing::Test {
 protected:
  SiteWorkerSchemesTest() { WriteTinyShards(shards_); }

  std::vector<std::string> RunArguments(const std::string& site) {
    return {
        "run", "--site-directory", folder_ / site, "--data", shards_, "--checkpoint-every-steps",
        "7"};
  }
  // Round r brings a new version of the fragment that was exchanged in the round before.
  static void OrderFragments(const SiteDirectory& site, uint64_t round) {
    const Digest layout = TransformerLayout(TinyModel())->digest();
    RoundOrder order = TinyOrder(round, kSteps, kRounds);
    ConsensusScheme* scheme = order.mutable_consensus();
    scheme->set_fragments(kFragments);
    scheme->set_fragment_delay_steps(kDelay);
    scheme->set_alpha(0.6);
    scheme->set_pull(0.3);
    scheme->mutable_influence()->set_validation_samples(4);
    order.set_fragment(static_cast<uint32_t>(round % kFragments));
    for (uint32_t g = 0; g < kFragments; ++g) {
      const uint64_t version = (round + kFragments - 1 - g) / kFragments;
      const ParameterVector z = TinyVector(100 * g + version);
      const FragmentRange range = RangeOfFragment(z.size(), kFragments, g);
      order.add_fragment_digests(ToHex(*site.WriteFragment(
          layout, {z.size(), kFragments, g}, z.span().subspan(range.begin, range.size))));
    }
    order.set_base_digest(order.fragment_digests(static_cast<int>(order.fragment())));
    ASSERT_TRUE(site.WriteOrder(order).ok());
  }
  static bool HasResult(const SiteDirectory& site, uint64_t round) {
    return site.ResultOf(round)->has_value();
  }

  TestFolder folder_{"site_worker_schemes"};
  const std::string shards_ = folder_ / "shards";
};

// The disturbed one is killed in the middle of a round and with steps ahead done, and its orders
// come only then; the other one has each order as soon as it is done with the one before.
TEST_F(SiteWorkerSchemesTest, WithFragmentsAndStepsAheadAKillAndALateOrderChangeNothing) {
  const auto train = [&](const std::string& name, bool disturbed) {
    const SiteDirectory site = *SiteDirectory::Open(folder_ / name);
    std::string log;
    std::optional<Worker> worker;
    // Another life, with a log of its own.
    const auto start = [&](const std::string& life) {
      log = folder_ / (name + life + ".log");
      worker.emplace(RunArguments(name), log);
    };
    start("");
    for (uint64_t round = 0; round < kRounds; ++round) {
      OrderFragments(site, round);
      if (disturbed) {
        EXPECT_TRUE(Eventually([&] { return Lines(site.training_log()) >= round * kSteps + 25; }));
        start(std::to_string(round));
      }
      EXPECT_TRUE(Eventually([&] { return HasResult(site, round); })) << Text(log);
      if (!disturbed || round + 1 == kRounds) continue;
      const size_t ahead = (round + 1) * kSteps + kDelay;
      EXPECT_TRUE(Eventually([&] { return Lines(site.training_log()) == ahead; })) << Text(log);
      start(std::to_string(round) + "_ahead");
      EXPECT_TRUE(Eventually([&] { return Text(log).find("is done here") != std::string::npos; }));
      EXPECT_EQ(Lines(site.training_log()), ahead) << "it does what was lost, and no more";
    }
    EXPECT_TRUE(site.Stop("the test is over").ok());
    EXPECT_EQ(worker->Wait(), 0) << Text(log);
    return site;
  };
  const SiteDirectory at_once = train("at_once", false);
  const SiteDirectory disturbed = train("disturbed", true);
  EXPECT_EQ(Lines(at_once.training_log()), kRounds * kSteps);
  EXPECT_EQ(Text(at_once.training_log()), Text(disturbed.training_log()));
  for (uint64_t round = 0; round < kRounds; ++round) {
    const RoundResult a = **at_once.ResultOf(round), b = **disturbed.ResultOf(round);
    EXPECT_EQ(a.vector_digest(), b.vector_digest());
    EXPECT_EQ(a.inner_steps(), kSteps);
    EXPECT_EQ(a.first_loss(), b.first_loss());
    EXPECT_EQ(a.last_loss(), b.last_loss());
    EXPECT_GT(a.validation_before(), 0);
    EXPECT_EQ(a.validation_before(), b.validation_before());
    EXPECT_EQ(a.validation_after(), b.validation_after());
    EXPECT_TRUE(
        at_once
            .ReadFragment(
                *DigestFromHex(a.vector_digest()), TransformerLayout(TinyModel())->digest(),
                {TinyVector().size(), kFragments, static_cast<uint32_t>(round % kFragments)})
            .ok());
  }
}

TEST_F(SiteWorkerSchemesTest, SaysHowLongItHadNothingToDo) {
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  const std::string log = folder_ / "worker.log";
  Worker worker(RunArguments("site"), log);
  OrderFragments(site, 0);
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 0); })) << Text(log);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  OrderFragments(site, 1);
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 1); })) << Text(log);
  EXPECT_EQ((*site.ResultOf(0))->seconds_waiting(), 0);
  EXPECT_GT((*site.ResultOf(1))->seconds_waiting(), 0.3);
}

TEST_F(SiteWorkerSchemesTest, WaitsForAnAnchorThatIsNotThereYet) {
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  const std::string log = folder_ / "worker.log";
  const Digest layout = TransformerLayout(TinyModel())->digest();
  // What the anchor will be called.
  const SiteDirectory elsewhere = *SiteDirectory::Open(folder_ / "elsewhere");
  const std::string anchor = ToHex(*elsewhere.WriteVector(layout, TinyVector(2).span()));
  RoundOrder order = TinyOrder(0, 10);
  order.mutable_consensus()->set_dual(true);
  order.mutable_consensus()->set_alpha(0);
  order.set_rho(0.5);
  order.set_base_digest(ToHex(*site.WriteVector(layout, TinyVector(1).span())));
  order.set_anchor_digest(anchor);
  ASSERT_TRUE(site.WriteOrder(order).ok());
  Worker worker(RunArguments("site"), log);
  ASSERT_TRUE(Eventually([&] {
    return Text(log).find("the anchor " + anchor) != std::string::npos;
  })) << Text(log);
  ASSERT_TRUE(site.WriteVector(layout, TinyVector(2).span()).ok());
  ASSERT_TRUE(Eventually([&] { return HasResult(site, 0); })) << Text(log);
}

TEST_F(SiteWorkerSchemesTest, SaysWhenThereIsNoHeldOutTextToValidateOn) {
  WriteTinyShards(folder_ / "no_held_out", 2000, 0);
  const SiteDirectory site = *SiteDirectory::Open(folder_ / "site");
  OrderFragments(site, 0);
  const std::string log = folder_ / "worker.log";
  Worker worker({"run", "--site-directory", folder_ / "site", "--data", folder_ / "no_held_out"},
                log);
  EXPECT_EQ(worker.Wait(), 1);
  EXPECT_THAT(Text(log), HasSubstr("the held-out data holds 0 tokens"));
}

}  // namespace
}  // namespace weft
