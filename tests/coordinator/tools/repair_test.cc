#include "tests/coordinator/tools/tools_fixture.h"

namespace weft {
namespace {

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

}  // namespace
}  // namespace weft
