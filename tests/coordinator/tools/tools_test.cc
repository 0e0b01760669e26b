#include "tests/coordinator/tools/tools_fixture.h"

namespace weft {
namespace {

TEST_F(ToolsTest, ASoundDirectoryIsSoundServedCopiedAndAtItsEnd) {
  run_.Init();
  EXPECT_EQ(Tool({"check"}), 0);
  Rounds(0, 2);
  const RoundEvent open = alba_->WaitForPhase(RoundEvent::OPEN, 2);
  ASSERT_TRUE(alba_->Push(alba_->Prepare(open, run_.initial())).stored());
  EXPECT_EQ(Tool({"check"}), 0);  // beside the server, in the middle of a round
  const std::string copy = run_.path("copy");
  fs::copy(run_.directory(), copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  EXPECT_EQ(Tool({"check"}, copy), 0);
  EXPECT_THAT(output_, HasSubstr("1 releases read: sound"));
  // A repair waits for the server's end, and finds nothing to do.
  EXPECT_EQ(Tool({"repair"}), 1);
  EXPECT_THAT(output_, HasSubstr("another process holds this database"));
  EXPECT_EQ(run_.End(SIGKILL), -SIGKILL);
  EXPECT_EQ(Tool({"repair"}), 0);
  EXPECT_THAT(output_, HasSubstr("nothing was to be done"));
  EXPECT_EQ(Tool({"check"}, run_.path("nothing")), 1);
  EXPECT_THAT(output_, HasSubstr("no coordinator's directory is here"));
}

TEST_F(ToolsTest, NothingIsRetainedUnlessAuditorsWantIt) {
  WholeRun();
  EXPECT_TRUE(fs::is_empty(run_.directory() + "/contributions"));
  EXPECT_FALSE(fs::exists(run_.directory() + "/kept"));
  EXPECT_EQ(Files(run_.directory() + "/blobs").size(), 4);  // consensus, change, momentum, residual
  EXPECT_TRUE(fs::is_empty(run_.directory() + "/spool"));
  EXPECT_EQ(Tool({"recompute", "1"}), 1);
  EXPECT_THAT(output_, HasSubstr("--keep-contributions"));
  const auto status = Json({"status"});
  EXPECT_GT(status["disk_used_bytes"], 0);
  EXPECT_GT(status["disk_bound_bytes"], status["disk_used_bytes"]);
}

TEST_F(ToolsTest, ServedWithoutTheOptionItRemovesWhatWasKept) {
  run_.Init();
  Rounds(0, 1, {"--keep-contributions"});
  EXPECT_TRUE(fs::exists(run_.directory() + "/kept/round-000000/outer_step.textproto"));
  run_.End(SIGTERM);
  EXPECT_EQ(Tool({"recompute", "0"}), 0);
  Rounds(1, 2);
  EXPECT_FALSE(fs::exists(run_.directory() + "/kept"));
  EXPECT_FALSE(fs::exists(run_.directory() + "/contributions/round-000000"));
  EXPECT_EQ(Tool({"check"}), 0);
}

TEST_F(ToolsTest, ARunningServersProgressIsNoDamage) {
  run_.Init();
  std::atomic<bool> over = false;
  int checks = 0, not_sound = 0;
  std::thread checking([&] {
    for (; !over || checks == 0; ++checks) not_sound += Tool({"check"}) == 0 ? 0 : 1;
  });
  Rounds(0, 3);
  alba_->WaitForPhase(RoundEvent::FINISHED, 3);
  over = true;
  checking.join();
  EXPECT_EQ(not_sound, 0) << "of " << checks;
}

TEST_F(ToolsTest, AnAuditorRecomputesEveryRound) {
  WholeRun({"--keep-contributions"});
  EXPECT_EQ(Tool({"check"}), 0);
  EXPECT_EQ(Files(run_.directory() + "/contributions").size(), 3);
  for (const char* round : {"0", "1", "2"}) {
    const auto result = Json({"recompute", round});
    EXPECT_TRUE(result["same"]) << output_;
    EXPECT_EQ(result["sites"].size(), 2);
  }
  EXPECT_EQ(Tool({"recompute", "3"}), 1);
  EXPECT_THAT(output_, HasSubstr("round 3 is not over"));

  // One that is damaged, and one that is missing.
  const std::string kept = run_.directory() + "/contributions/round-000001";
  FlipByte(Files(kept)[0], 100);
  fs::remove(Files(kept)[1]);
  EXPECT_EQ(Tool({"recompute", "1"}), 1);
  EXPECT_THAT(output_, HasSubstr("damaged: its content has the digest"));
  EXPECT_THAT(output_, HasSubstr("is not there"));
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_THAT(output_, HasSubstr("that round cannot be recomputed"));
  EXPECT_EQ(Tool({"recompute", "2"}), 0);
}

TEST_F(ToolsTest, AWrongConsensusIsFoundByRecomputing) {
  WholeRun({"--keep-contributions"});
  // Another base of the same shape in its place, as a coordinator that cheats might keep.
  const std::string step = run_.directory() + "/kept/round-000001/outer_step.textproto";
  std::string text = *ReadWholeFile(step);
  const size_t at = text.find("momentum_digest");
  ASSERT_NE(at, std::string::npos);
  text.erase(at, text.find('\n', at) - at);
  std::ofstream(step) << text;
  EXPECT_EQ(Tool({"recompute", "1"}), 1);
  EXPECT_THAT(output_, HasSubstr("NOT the same"));
}

TEST_F(ToolsTest, ADamagedLogOfTheDatabaseIsSaid) {
  WholeRun();
  std::vector<std::string> logs = Files(run_.directory() + "/state", ".log");
  ASSERT_FALSE(logs.empty());
  const std::string path = *std::max_element(logs.begin(), logs.end(), [](auto& a, auto& b) {
    return fs::file_size(a) < fs::file_size(b);
  });
  FlipByte(path, static_cast<int64_t>(fs::file_size(path)) / 2);
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_THAT(output_, HasSubstr("(state)"));
}

TEST_F(ToolsTest, InputsAndStoredContributionsAreWatched) {
  run_.Init();
  Rounds(0, 1);
  const RoundEvent open = alba_->WaitForPhase(RoundEvent::OPEN, 1);
  ASSERT_TRUE(alba_->Push(alba_->Prepare(open, run_.initial())).stored());
  run_.End(SIGTERM);
  const std::string stored = Files(run_.directory() + "/contributions/round-000001")[0];
  const std::string intact = *ReadWholeFile(stored);
  FlipByte(stored, 100);
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_THAT(output_, HasSubstr("PROBLEM (contribution)"));
  fs::remove(stored);
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_THAT(output_, HasSubstr("a site has a receipt for it"));
  EXPECT_EQ(Tool({"repair"}), 1);
  std::ofstream(stored, std::ios::binary) << intact;
  EXPECT_EQ(Tool({"check"}), 0);

  const std::string manifest = run_.directory() + "/run.signed.json";
  const std::string text = *ReadWholeFile(manifest);
  FlipByte(manifest, 40);
  std::ofstream(run_.directory() + "/tokenizer/tokenizer.model") << "another";
  const auto report = Json({"check"});
  EXPECT_FALSE(report["sound"]);
  std::ofstream(manifest) << text;
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_THAT(output_, HasSubstr("tokenizer.model"));
  EXPECT_THAT(output_, Not(HasSubstr("run.signed.json")));
}

TEST(LateToolsTest, ALateContributionIsWatchedAndRecomputed) {
  RunFixture run({"alba", "brena"}, [](RunManifest* m) {
    m->mutable_rounds()->set_sites_to_start(2);
    m->mutable_rounds()->set_round_seconds_max(3);
    m->mutable_rounds()->set_late("carry");
    m->mutable_rounds()->set_late_discount(1);
  });
  std::string output;
  const auto tool = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--directory", run.directory()});
    return run.RunProgram(arguments, &output);
  };
  run.Init();
  run.Serve({"--keep-contributions"});
  TestSite alba(run, "alba"), brena(run, "brena");
  alba.Join();
  brena.Join();
  const RoundEvent first = alba.WaitForPhase(RoundEvent::OPEN, 0);
  ASSERT_TRUE(alba.Push(alba.Prepare(first, Moved(run.initial(), 0.001f))).stored());
  const RoundEvent second = alba.WaitForPhase(RoundEvent::OPEN, 1);  // at the deadline
  ASSERT_TRUE(brena.Push(brena.Prepare(first, Moved(run.initial(), 0.002f))).stored());
  EXPECT_EQ(tool({"check"}), 0) << output;  // its base is an older one, its round is closed
  ASSERT_TRUE(alba.Push(alba.Prepare(second, run.initial())).stored());
  alba.WaitForPhase(RoundEvent::OPEN, 2);
  run.End(SIGTERM);
  EXPECT_EQ(tool({"check"}), 0) << output;
  EXPECT_EQ(tool({"recompute", "1"}), 0) << output;
  EXPECT_THAT(output, HasSubstr("round 1 from alba, brena"));
  EXPECT_EQ(tool({"repair"}), 0) << output;
  EXPECT_EQ(tool({"recompute", "1"}), 0) << output;
}

TEST_F(ToolsTest, PlansARunBeforeItStarts) {
  const auto plan = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"plan", run_.path("run.signed.json")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_.RunProgram(arguments, &output_);
  };
  EXPECT_EQ(plan({"--sites", "5", "--json"}), 0);
  const auto json = nlohmann::json::parse(output_);
  EXPECT_EQ(json["site_round_up_bytes"], 128 + 4 * run_.initial().size());
  EXPECT_EQ(json["site_round_down_bytes"], 128 + 2 * run_.initial().size());
  EXPECT_EQ(json["sites"], 5);
  EXPECT_EQ(plan({"--mbit-up", "20"}), 0);
  EXPECT_THAT(output_, HasSubstr("2 sites, 3 rounds"));
  EXPECT_THAT(output_, HasSubstr("assumed"));
  EXPECT_EQ(plan({"--sites", "0"}), 2);
  EXPECT_EQ(plan({"--mbit-up", "0"}), 2);
}

}  // namespace
}  // namespace weft
