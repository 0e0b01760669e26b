// What an operator decides beside a running coordinator, and the rounds that follow from it.
#include "coordinator/server/operator_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "tests/testing/test_site.h"

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::weft::testing::RunFixture;
using ::weft::testing::TestSite;
using ::weft::testing::Values;

std::vector<float> Moved(std::vector<float> x, float by) {
  for (float& value : x) value += by;
  return x;
}

// Exit code; what was printed is in `output`.
int Command(const RunFixture& run, std::vector<std::string> arguments, std::string* output) {
  arguments.insert(arguments.begin() + 1, {"--directory", run.directory()});
  return run.RunProgram(arguments, output);
}

TEST(OperatorCommandTest, APauseHoldsTheRunAndKeepsWhatSitesSend) {
  RunFixture run({"alba"}, [](RunManifest*) {});
  run.Init();
  run.Serve();
  TestSite alba(run, "alba");
  alba.Join();
  const RoundEvent open = alba.WaitForPhase(RoundEvent::OPEN, 0);
  std::string output;
  ASSERT_EQ(Command(run, {"pause", "--reason", "the roof leaks"}, &output), 0) << output;
  EXPECT_THAT(output, HasSubstr("the roof leaks"));
  EXPECT_THAT(alba.WaitForPhase(RoundEvent::PAUSED, 0).reason(), HasSubstr("the roof leaks"));
  EXPECT_TRUE(alba.Push(alba.Prepare(open, Moved(run.initial(), 0.01f))).stored());
  EXPECT_EQ(Command(run, {"pause", "--reason", "again"}, &output), 1);
  EXPECT_THAT(output, HasSubstr("paused already"));

  run.End(SIGKILL);
  run.Serve();
  alba.Connect();
  ASSERT_EQ(Command(run, {"status"}, &output), 0);
  EXPECT_THAT(output, HasSubstr("PAUSED"));
  EXPECT_THAT(output, HasSubstr("the roof leaks"));
  ASSERT_EQ(Command(run, {"resume", "--reason", "it is mended"}, &output), 0) << output;
  alba.WaitForPhase(RoundEvent::OPEN, 1);
  EXPECT_EQ(run.End(SIGTERM), 0) << run.Log();
  EXPECT_THAT(run.Log(), HasSubstr("it is mended"));
}

TEST(OperatorCommandTest, ARefusedConsensusIsNotTheNextBase) {
  RunFixture run({"alba"}, [](RunManifest* m) {
    m->mutable_rounds()->set_evaluation_seconds_max(60);
    m->mutable_encodings()->set_up("parameters_fp32");
  });
  run.Init();
  run.Serve();
  TestSite alba(run, "alba");
  alba.Join();
  const RoundEvent first = alba.WaitForPhase(RoundEvent::OPEN, 0);
  ASSERT_TRUE(alba.Push(alba.Prepare(first, Moved(run.initial(), 0.01f))).stored());
  alba.WaitForPhase(RoundEvent::EVALUATING, 0);
  std::string output;
  EXPECT_EQ(Command(run, {"gate", "--version", "7", "--accept", "--reason", "x"}, &output), 1);
  EXPECT_THAT(output, HasSubstr("version 1 does"));
  EXPECT_EQ(Command(run, {"gate", "--version", "1", "--reason", "x"}, &output), 2);
  ASSERT_EQ(Command(run, {"gate", "--version", "1", "--refuse", "--reason", "it forgot"}, &output),
            0)
      << output;
  const RoundEvent second = alba.WaitForPhase(RoundEvent::OPEN, 1);
  EXPECT_EQ(second.base_digest(), first.base_digest());
  EXPECT_EQ(second.context().base_version(), 2);
  EXPECT_EQ(second.first_step(), 5);  // new work
  const std::vector<float> better = Moved(run.initial(), 0.02f);
  ASSERT_TRUE(alba.Push(alba.Prepare(second, better)).stored()) << run.Log();
  alba.WaitForPhase(RoundEvent::EVALUATING, 1);
  ASSERT_EQ(Command(run, {"gate", "--version", "3", "--accept", "--reason", "better"}, &output), 0)
      << output;
  const RoundEvent third = alba.WaitForPhase(RoundEvent::OPEN, 2);
  EXPECT_EQ(Values(alba.Pull(third.base_digest(), third.base_bytes())), better);
  EXPECT_EQ(run.End(SIGTERM), 0) << run.Log();
}

TEST(OperatorCommandTest, ALateContributionCountsInTheNextRound) {
  RunFixture run({"alba", "brena"}, [](RunManifest* m) {
    m->mutable_rounds()->set_sites_to_start(2);
    m->mutable_rounds()->set_round_seconds_max(3);
    m->mutable_rounds()->set_late("carry");
    m->mutable_rounds()->set_late_discount(1);
  });
  run.Init();
  run.Serve();
  TestSite alba(run, "alba"), brena(run, "brena");
  alba.Join();
  brena.Join();
  const std::vector<float> z = run.initial();
  const RoundEvent first = alba.WaitForPhase(RoundEvent::OPEN, 0);
  const auto late = brena.Prepare(first, Moved(z, 0.25f));
  ASSERT_TRUE(alba.Push(alba.Prepare(first, Moved(z, 0.5f))).stored());
  const RoundEvent second = alba.WaitForPhase(RoundEvent::OPEN, 1);  // at the deadline
  const std::vector<float> base = Values(alba.Pull(second.base_digest(), second.base_bytes()));
  ASSERT_TRUE(brena.Push(late).stored()) << run.Log();
  EXPECT_TRUE(brena.Push(late).stored());  // the same receipt
  ASSERT_TRUE(alba.Push(alba.Prepare(second, Moved(base, 0.5f))).stored());
  const RoundEvent third = alba.WaitForPhase(RoundEvent::OPEN, 2);
  const std::vector<float> got = Values(alba.Pull(third.base_digest(), third.base_bytes()));
  // Fresh 1 : late 1/2, each its change since its own base.
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], base[i] + (0.5 * 2 + 0.25) / 3, 1e-6) << i;
  }
  EXPECT_EQ(run.End(SIGTERM), 0) << run.Log();
}

TEST(OperatorCommandTest, ACommandThatNobodyTakesIsWithdrawn) {
  RunFixture run({"alba"}, [](RunManifest*) {});
  run.Init();
  std::string output;
  EXPECT_EQ(Command(run, {"pause", "--reason", "x", "--wait-seconds", "0.2"}, &output), 1);
  EXPECT_THAT(output, HasSubstr("withdrawn"));
  EXPECT_TRUE(std::filesystem::is_empty(run.directory() + "/commands"));
}

}  // namespace
}  // namespace weft
