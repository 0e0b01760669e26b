// Whole rounds against the coordinator program, over real TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "nlohmann/json.hpp"
#include "proto/durable_file.h"
#include "tests/testing/test_site.h"

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::weft::testing::RunFixture;
using ::weft::testing::TestSite;
using ::weft::testing::Values;

std::vector<float> Moved(const std::vector<float>& x, float by) {
  std::vector<float> moved = x;
  for (size_t i = 0; i < x.size(); ++i) moved[i] += by * static_cast<float>(i % 13);
  return moved;
}

nlohmann::json Status(const RunFixture& run) {
  std::string output;
  EXPECT_EQ(run.RunProgram({"status", "--directory", run.directory(), "--json"}, &output), 0)
      << output;
  return nlohmann::json::parse(output);
}

TEST(RoundsTest, WhoOnlyAsksChangesNothing) {
  RunFixture run({"alba", "brena"}, [](RunManifest*) {});
  run.Init();
  run.Serve();
  TestSite asking(run, "alba");
  const JoinReply answer = asking.Ask();
  EXPECT_FALSE(answer.has_refusal()) << answer.ShortDebugString();
  EXPECT_EQ(answer.now().phase(), RoundEvent::FORMING);
  EXPECT_EQ(answer.context().session_id(), "");
  EXPECT_NE(answer.server_unix_ms(), 0);
  EXPECT_EQ(Values(asking.Pull(answer.now().base_digest(), answer.now().base_bytes())),
            run.initial());
  // One site would be enough to open the first round.
  nlohmann::json status = Status(run);
  EXPECT_EQ(status["phase"], "FORMING");
  EXPECT_TRUE(status["sites"].empty()) << status["sites"];

  // Beside a session of the same site, which goes on.
  TestSite alba(run, "alba");
  const RoundEvent open = alba.Join().now();
  EXPECT_EQ(asking.Ask().now().phase(), RoundEvent::OPEN);
  EXPECT_TRUE(alba.Push(alba.Prepare(open, run.initial())).stored());
  // It is checked as a join is.
  TestSite stranger(run, "nemo", run.MakeKit("nemo", "nemo"));
  EXPECT_EQ(stranger.Ask().refusal().code(), Refusal::NOT_A_MEMBER);
  EXPECT_EQ(run.End(SIGTERM), 0);
}

TEST(RoundsTest, TwoSitesGoThroughARunToItsReleases) {
  RunFixture run({"alba", "brena"}, [](RunManifest* m) {
    m->mutable_rounds()->set_round_count(2);
    m->mutable_rounds()->set_sites_to_start(2);
    m->mutable_rounds()->set_quorum(2);
  });
  run.Init();
  run.Serve({"--keep-contributions"});
  TestSite alba(run, "alba"), brena(run, "brena");
  EXPECT_EQ(alba.Join().now().phase(), RoundEvent::FORMING);
  EXPECT_EQ(brena.Join().now().phase(), RoundEvent::OPEN);

  std::vector<float> z = run.initial();
  for (uint64_t round = 0; round < 2; ++round) {
    const RoundEvent open = alba.WaitForPhase(RoundEvent::OPEN, round);
    EXPECT_EQ(open.inner_steps(), 5);
    EXPECT_EQ(open.first_step(), round * 5);
    EXPECT_EQ(Values(alba.Pull(open.base_digest(), open.base_bytes())), z);
    const std::vector<float> a = Moved(z, 0.001f), b = Moved(z, -0.0003f);
    const auto prepared = alba.Prepare(open, a);
    const PushReply stored = alba.Push(prepared);
    EXPECT_TRUE(stored.stored()) << stored.ShortDebugString();
    EXPECT_EQ(stored.receipt_digest(), prepared.digest);
    EXPECT_TRUE(alba.WaitForPhase(RoundEvent::OPEN, round).contribution_stored());
    EXPECT_TRUE(brena.Push(brena.Prepare(open, b)).stored());
    EXPECT_FALSE(alba.Report(round, 3.5).has_refusal());
    EXPECT_FALSE(brena.Report(round, 3.25).has_refusal());

    // The aggregate again, by a plain loop over what the coordinator kept.
    const BlobDirectory kept =
        *BlobDirectory::Open(absl::StrCat(run.directory(), "/contributions/round-00000", round));
    ASSERT_EQ(kept.List().size(), 2);
    const std::vector<float> kept_a =
        Values(*ReadWholeFile(kept.PathOf(*DigestFromBytes(prepared.digest))));
    ASSERT_EQ(kept_a, a);
    for (size_t i = 0; i < z.size(); ++i) z[i] = static_cast<float>(0.5 * kept_a[i] + 0.5 * b[i]);
    const RoundEvent next =
        alba.WaitFor([&](const RoundEvent& e) { return e.context().base_version() == round + 1; });
    EXPECT_EQ(Values(alba.Pull(next.base_digest(), next.base_bytes())), z);
  }

  const RoundEvent end = brena.WaitForPhase(RoundEvent::FINISHED, 2);
  const auto model = ReadHuggingFaceFolder(run.directory() + "/releases/round-000002");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(std::vector<float>(model->vector.span().begin(), model->vector.span().end()), z);
  EXPECT_TRUE(std::filesystem::exists(run.directory() + "/releases/round-000000/SHA256SUMS"));
  const std::string log =
      *ReadWholeFile(run.directory() + "/releases/round-000002/training_log.jsonl");
  EXPECT_THAT(log, HasSubstr("3.25"));
  const auto status = Status(run);
  EXPECT_EQ(status["phase"], "FINISHED");
  EXPECT_EQ(status["consensus_version"], 2);
  EXPECT_EQ(status["consensus_digest"], ToHex(*DigestFromBytes(end.base_digest())));
  EXPECT_FALSE(alba.Leave().has_refusal());
  EXPECT_EQ(run.End(SIGTERM), 0) << run.Log();
}

TEST(RoundsTest, TheDecodedDeltaArrivesAtTheBaseDigest) {
  RunFixture run({"alba"}, [](RunManifest* m) {
    m->mutable_encodings()->set_down("delta_bf16");
    m->mutable_encodings()->set_up("delta_bf16");
  });
  run.Init();
  run.Serve();
  TestSite alba(run, "alba");
  alba.Join();
  std::vector<float> z = run.initial();
  for (uint64_t round = 0; round < 2; ++round) {
    const RoundEvent open = alba.WaitForPhase(RoundEvent::OPEN, round);
    VectorHeader header;
    header.encoding = Encoding::kDeltaBf16;
    header.element_count = z.size();
    header.layout = run.layout().digest();
    header.base = *DigestFromBytes(open.base_digest());
    std::string blob = PrintVectorHeader(header);
    ASSERT_TRUE(EncodeElements(header.encoding, Moved(z, 0.0017f), z, 0, &blob).ok());
    ASSERT_TRUE(alba.Push(alba.PrepareBlob(open, blob)).stored()) << run.Log();

    const RoundEvent next = alba.WaitForPhase(RoundEvent::OPEN, round + 1);
    EXPECT_EQ(next.delta_base_digest(), open.base_digest());
    const std::string delta = alba.Pull(next.delta_digest(), next.delta_bytes());
    EXPECT_LT(delta.size(), next.base_bytes() * 0.51);
    std::vector<float> decoded(z.size());
    ASSERT_TRUE(DecodeElements(header.encoding, absl::string_view(delta).substr(kVectorHeaderBytes),
                               z, 0, absl::MakeSpan(decoded))
                    .ok());
    VectorHeader full;
    full.element_count = z.size();
    full.layout = run.layout().digest();
    std::string encoded = PrintVectorHeader(full);
    ASSERT_TRUE(EncodeElements(full.encoding, decoded, {}, 0, &encoded).ok());
    EXPECT_EQ(ToBytes(BlobDigest(encoded)), next.base_digest());
    EXPECT_NE(decoded, z);
    z = decoded;
  }
  // What is not needed is removed: the consensus, its change and its residual stay.
  EXPECT_EQ(BlobDirectory::Open(run.directory() + "/blobs")->List().size(), 3);
  EXPECT_FALSE(std::filesystem::exists(run.directory() + "/contributions/round-000000"));
}

TEST(RoundsTest, KilledMidRoundItKeepsTheRoundAndWhatWasStored) {
  RunFixture run({"alba", "brena"}, [](RunManifest* m) {
    m->mutable_rounds()->set_sites_to_start(2);
    m->mutable_rounds()->set_quorum(2);
  });
  run.Init();
  run.Serve();
  TestSite alba(run, "alba"), brena(run, "brena");
  alba.Join();
  const RoundEvent open = brena.Join().now();
  const auto a = alba.Prepare(open, Moved(run.initial(), 0.001f));
  ASSERT_TRUE(alba.Push(a).stored());
  run.End(SIGKILL);
  run.Serve();
  alba.Connect();
  brena.Connect();
  const auto status = Status(run);
  EXPECT_EQ(status["phase"], "OPEN");
  EXPECT_EQ(status["round"], 0);
  ASSERT_EQ(status["contributions"].size(), 1);
  EXPECT_EQ(status["contributions"][0]["site"], "alba");

  // The sessions hold; what is stored is not wanted again, and gets the same receipt.
  const RoundEvent now = alba.WaitFor([](const RoundEvent&) { return true; });
  EXPECT_TRUE(now.contribution_stored());
  EXPECT_EQ(now.base_digest(), open.base_digest());
  const PushReply again = alba.Resume(a);
  EXPECT_TRUE(again.stored());
  EXPECT_EQ(again.receipt_digest(), a.digest);
  ASSERT_TRUE(brena.Push(brena.Prepare(open, Moved(run.initial(), 0.002f))).stored());
  brena.WaitForPhase(RoundEvent::OPEN, 1);

  // Between rounds.
  run.End(SIGKILL);
  run.Serve();
  alba.Connect();
  const RoundEvent second = alba.WaitForPhase(RoundEvent::OPEN, 1);
  EXPECT_EQ(second.context().base_version(), 1);
  // A receipt of a round that is over is still a receipt.
  EXPECT_TRUE(alba.Push(a).stored());
}

TEST(RoundsTest, APushGoesOnWhereItWasInterrupted) {
  RunFixture run({"alba"}, [](RunManifest* m) {
    m->mutable_model()->set_vocabulary_size(12800);  // 1.6 MiB of parameters: two chunks
  });
  run.Init();
  run.Serve();
  TestSite alba(run, "alba");
  const RoundEvent open = alba.Join().now();
  const auto prepared = alba.Prepare(open, Moved(run.initial(), 0.001f));
  ASSERT_EQ(ChunkCount(prepared.blob.size()), 2);
  EXPECT_EQ(alba.Resume(prepared).chunk_bitmap(), std::string(1, '\0'));
  EXPECT_EQ(alba.Push(prepared, {1}).chunk_bitmap(), std::string(1, '\x02'));
  run.End(SIGKILL);
  run.Serve();
  alba.Connect();
  EXPECT_EQ(alba.Resume(prepared).chunk_bitmap(), std::string(1, '\x02'));
  const PushReply reply = alba.Push(prepared, {0});
  EXPECT_TRUE(reply.stored()) << reply.ShortDebugString();
  EXPECT_EQ(reply.receipt_digest(), prepared.digest);
}

TEST(RoundsTest, ADeadlineWithoutQuorumIsSaidAndExtends) {
  RunFixture run({"alba", "brena"}, [](RunManifest* m) {
    m->mutable_rounds()->set_quorum(2);
    m->mutable_rounds()->set_sites_to_start(2);
    m->mutable_rounds()->set_round_seconds_max(1);
  });
  run.Init();
  run.Serve();
  TestSite alba(run, "alba"), brena(run, "brena");
  alba.Join();
  const RoundEvent open = brena.Join().now();
  ASSERT_TRUE(alba.Push(alba.Prepare(open, run.initial())).stored());
  const RoundEvent extended = alba.WaitFor(
      [](const RoundEvent& e) { return e.reason().find("extended") != std::string::npos; });
  EXPECT_THAT(extended.reason(), HasSubstr("1 of 2 contributed, the quorum is 2"));
  EXPECT_GT(extended.deadline_unix_ms(), open.deadline_unix_ms());
}

}  // namespace
}  // namespace weft
