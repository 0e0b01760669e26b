// check, recompute and repair on directories of real runs: sound, served, copied, damaged by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/blob_directory.h"
#include "proto/durable_file.h"
#include "tests/testing/test_site.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;
using ::weft::testing::RunFixture;
using ::weft::testing::TestSite;

std::vector<float> Moved(const std::vector<float>& x, float by) {
  std::vector<float> moved = x;
  for (size_t i = 0; i < x.size(); ++i) moved[i] += by * static_cast<float>(i % 13);
  return moved;
}

// With momentum and an encoded way down: every kind of vector there is.
void EveryVector(RunManifest* m) {
  m->mutable_encodings()->set_down("delta_bf16");
  m->mutable_consensus()->set_preset("diloco");
  m->mutable_consensus()->mutable_outer()->set_nesterov(true);
  m->mutable_consensus()->mutable_outer()->set_learning_rate(0.7);
  m->mutable_consensus()->mutable_outer()->set_momentum(0.9);
  m->mutable_rounds()->set_sites_to_start(2);
  m->mutable_rounds()->set_quorum(2);
}

void FlipByte(const std::string& path, int64_t from_end) {
  std::string bytes = *ReadWholeFile(path);
  const size_t at = bytes.size() - static_cast<size_t>(from_end);
  bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<std::string> Files(const std::string& folder, const std::string& suffix = "") {
  std::vector<std::string> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (absl::EndsWith(path, suffix)) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class ToolsTest : public ::testing::Test {
 protected:
  ~ToolsTest() override {
    if (HasFailure()) std::cerr << output_ << "\n";
  }

  // Rounds [first, end), of two sites.
  void Rounds(uint64_t first, uint64_t end, const std::vector<std::string>& flags = {}) {
    run_.Serve(flags);
    alba_.emplace(run_, "alba");
    brena_.emplace(run_, "brena");
    alba_->Join();
    brena_->Join();
    for (uint64_t round = first; round < end; ++round) {
      const RoundEvent open = alba_->WaitForPhase(RoundEvent::OPEN, round);
      const float by = 0.001f * static_cast<float>(round + 1);
      ASSERT_TRUE(alba_->Push(alba_->Prepare(open, Moved(run_.initial(), by))).stored());
      ASSERT_TRUE(brena_->Push(brena_->Prepare(open, Moved(run_.initial(), -by / 3))).stored());
      alba_->Report(round, 3.5);
      brena_->Report(round, 3.25);
      alba_->WaitFor([&](const RoundEvent& e) { return e.context().base_version() == round + 1; });
    }
  }
  // A whole run of three rounds.
  void WholeRun(const std::vector<std::string>& flags = {}) {
    run_.Init();
    Rounds(0, 3, flags);
    alba_->WaitForPhase(RoundEvent::FINISHED, 3);
    ASSERT_EQ(run_.End(SIGTERM), 0) << run_.Log();
  }
  int Tool(std::vector<std::string> arguments, const std::string& folder = "") {
    arguments.insert(arguments.end(), {"--directory", folder.empty() ? run_.directory() : folder});
    return run_.RunProgram(arguments, &output_);
  }
  nlohmann::json Json(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    Tool(std::move(arguments));
    return nlohmann::json::parse(output_.substr(0, output_.rfind('}') + 1));
  }
  std::string Blob(const char* field) {
    const auto status = Json({"status"});
    return absl::StrCat(run_.directory(), "/blobs/", status[field].get<std::string>());
  }
  // A blob of the outer state or the encoded change: every one but the consensus.
  std::string SmallestBlob() {
    std::vector<std::string> blobs = Files(run_.directory() + "/blobs");
    return *std::min_element(blobs.begin(), blobs.end(), [](const auto& a, const auto& b) {
      return fs::file_size(a) < fs::file_size(b);
    });
  }

  RunFixture run_{{"alba", "brena"}, EveryVector};
  std::optional<TestSite> alba_, brena_;
  std::string output_;
};

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
  EXPECT_GT(checks, 3);
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

TEST_F(ToolsTest, TheConsensusComesBackFromItsRelease) {
  WholeRun();
  const std::string consensus = Blob("consensus_digest");
  const std::string before = *ReadWholeFile(consensus);
  FlipByte(consensus, 1000);
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_THAT(output_, HasSubstr("damaged: its content has the digest"));
  EXPECT_EQ(Tool({"repair"}), 0);
  EXPECT_THAT(output_, HasSubstr("releases/round-000003: the digest is the same"));
  EXPECT_EQ(*ReadWholeFile(consensus), before);
  fs::remove(consensus);
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_THAT(output_, HasSubstr("missing: it is the current consensus"));
  EXPECT_EQ(Tool({"repair"}), 0);
  EXPECT_EQ(*ReadWholeFile(consensus), before);

  // Without a release nothing proves it: it is told, and nothing is invented.
  FlipByte(consensus, 1000);
  fs::remove_all(run_.directory() + "/releases/round-000003");
  const std::string damaged = *ReadWholeFile(consensus);
  EXPECT_EQ(Tool({"repair"}), 1);
  EXPECT_THAT(output_, HasSubstr("1 problems are left"));
  EXPECT_EQ(*ReadWholeFile(consensus), damaged);
}

TEST_F(ToolsTest, ALostChangeIsGivenUpAndTheRunGoesOn) {
  run_.Init();
  Rounds(0, 1);
  run_.End(SIGTERM);
  FlipByte(SmallestBlob(), 10);
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_EQ(Tool({"repair"}), 0);
  EXPECT_THAT(output_, HasSubstr("sites fetch this version whole"));
  Rounds(1, 3);
  const RoundEvent end = alba_->WaitForPhase(RoundEvent::FINISHED, 3);
  EXPECT_EQ(end.delta_base_digest().size(), 32);  // the next one has a change again
  run_.End(SIGTERM);
  EXPECT_EQ(Tool({"check"}), 0);
}

TEST_F(ToolsTest, AnythingOfAKeptRoundIsMadeAgain) {
  WholeRun({"--keep-contributions"});
  for (const std::string& blob : Files(run_.directory() + "/blobs")) {
    const std::string before = *ReadWholeFile(blob);
    FlipByte(blob, 500);
    EXPECT_EQ(Tool({"check"}), 1);
    EXPECT_EQ(Tool({"repair"}), 0);
    EXPECT_EQ(*ReadWholeFile(blob), before) << blob;
  }
}

TEST_F(ToolsTest, AReleaseIsMadeAgain) {
  WholeRun();
  const std::string release = run_.directory() + "/releases/round-000003";
  const std::string model = *ReadWholeFile(release + "/model.safetensors");
  const std::string sums = *ReadWholeFile(release + "/SHA256SUMS");
  FlipByte(release + "/model.safetensors", 77);
  fs::remove(release + "/LICENSE");
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_THAT(output_, HasSubstr("SHA256SUMS says"));
  EXPECT_THAT(output_, HasSubstr("LICENSE"));
  EXPECT_EQ(Tool({"repair"}), 0);
  EXPECT_EQ(*ReadWholeFile(release + "/model.safetensors"), model);
  EXPECT_EQ(*ReadWholeFile(release + "/SHA256SUMS"), sums);
  // An old one, whose consensus is gone, from its own model.
  const std::string first = run_.directory() + "/releases/round-000000";
  fs::remove(first + "/README.md");
  EXPECT_EQ(Tool({"repair"}), 0);
  EXPECT_TRUE(fs::exists(first + "/README.md"));
}

TEST_F(ToolsTest, LeftoversGoAndNothingElse) {
  WholeRun();
  const std::string d = run_.directory();
  std::ofstream(d + "/blobs/blob.1.2.tmp") << "half";
  fs::create_directories(d + "/releases/round-000002.tmp");
  std::ofstream(d + "/releases/round-000002.tmp/config.json") << "{";
  const Digest unnamed = *BlobDirectory::Open(d + "/blobs")->Put("nobody names this");
  fs::create_directories(d + "/spool/alba");
  std::ofstream(d + "/operator-notes.txt") << "keep";
  EXPECT_EQ(Tool({"check"}), 0);
  EXPECT_THAT(output_, HasSubstr("nothing names it"));
  EXPECT_EQ(Tool({"repair"}), 0);
  EXPECT_FALSE(fs::exists(d + "/blobs/blob.1.2.tmp"));
  EXPECT_FALSE(fs::exists(d + "/blobs/" + ToHex(unnamed)));
  EXPECT_FALSE(fs::exists(d + "/releases/round-000002.tmp"));
  EXPECT_FALSE(fs::exists(d + "/spool/alba"));
  EXPECT_TRUE(fs::exists(d + "/operator-notes.txt"));
  EXPECT_EQ(Files(d + "/blobs").size(), 4);
}

TEST_F(ToolsTest, ADamagedDatabaseIsSaidAndLeftAlone) {
  WholeRun();
  run_.Serve();  // a start writes the log's records into a table
  run_.End(SIGTERM);
  std::vector<std::string> tables = Files(run_.directory() + "/state", ".sst");
  ASSERT_FALSE(tables.empty());
  const std::string intact = *ReadWholeFile(tables[0]);
  for (const int64_t from_end : {int64_t(intact.size()) - 20, int64_t(intact.size()) / 2}) {
    FlipByte(tables[0], from_end);
    EXPECT_EQ(Tool({"check"}), 1) << from_end;
    EXPECT_THAT(output_, HasSubstr("the database is damaged"));
    EXPECT_THAT(output_, HasSubstr("put back a backup"));
    EXPECT_EQ(Tool({"repair"}), 1);
    EXPECT_THAT(output_, HasSubstr("nothing was changed"));
    std::ofstream(tables[0], std::ios::binary) << intact;
  }
  EXPECT_EQ(Tool({"check"}), 0);
  for (const std::string& path : Files(run_.directory() + "/state")) {
    if (absl::StrContains(path, "MANIFEST-")) FlipByte(path, 30);
  }
  EXPECT_EQ(Tool({"check"}), 1);
  EXPECT_THAT(output_, HasSubstr("(state)"));
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
