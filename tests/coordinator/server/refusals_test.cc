// What a broken or malicious peer may do, against the coordinator program over real TLS: each is
// refused with its reason at both ends, and the consensus stays what it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <cstdio>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/parameters/parameter_codec.h"
#include "nlohmann/json.hpp"
#include "proto/blob_digest.h"
#include "proto/durable_file.h"
#include "tests/testing/test_site.h"

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::weft::testing::RunFixture;
using ::weft::testing::TestSite;

// Output of a shell command, with its standard error.
std::string Shell(const std::string& command) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, got);
  pclose(pipe);
  return output;
}

// One run for all tests: round 0 is open and stays so, for brena never contributes.
class RefusalsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    run_ = new RunFixture({"alba", "brena", "corra"}, [](RunManifest* m) {
      m->mutable_model()->set_vocabulary_size(12800);  // two chunks
      m->mutable_rounds()->set_quorum(3);
      m->mutable_rounds()->set_sites_to_start(3);
      m->mutable_rounds()->set_round_seconds_max(600);
      m->mutable_rounds()->set_update_norm_max(10);
    });
    run_->Init();
    run_->Serve();
    for (const char* site : {"alba", "brena", "corra"}) {
      sites_.push_back(std::make_unique<TestSite>(*run_, site));
      round_ = sites_.back()->Join().now();
    }
    ASSERT_EQ(round_.phase(), RoundEvent::OPEN);
  }
  static void TearDownTestSuite() {
    sites_.clear();
    EXPECT_EQ(run_->End(SIGTERM), 0) << run_->Log();
    delete run_;
  }
  void TearDown() override {
    const RoundEvent now = brena().WaitFor([](const RoundEvent&) { return true; });
    EXPECT_EQ(now.base_digest(), round_.base_digest());
    EXPECT_EQ(now.round(), 0);
  }

  static TestSite& alba() { return *sites_[0]; }
  static TestSite& brena() { return *sites_[1]; }
  static TestSite& corra() { return *sites_[2]; }
  static const std::vector<float>& z() { return run_->initial(); }

  // The refusal came, with words, and the coordinator's log says the same of the same site.
  static void ExpectRefused(const Refusal& refusal, Refusal::Code code, const std::string& site) {
    EXPECT_EQ(refusal.code(), code) << refusal.ShortDebugString();
    EXPECT_FALSE(refusal.reason().empty());
    const std::string line = absl::StrCat("code=", Refusal::Code_Name(code), " site=", site);
    for (int i = 0; i < 200 && !absl::StrContains(run_->Log(), line); ++i) {
      absl::SleepFor(absl::Milliseconds(10));
    }
    EXPECT_THAT(run_->Log(), HasSubstr(line));
  }
  static Refusal JoinRefusal(TestSite& site, const std::string& manifest_digest = {}) {
    JoinReply reply;
    const grpc::Status status = site.TryJoin(&reply, manifest_digest);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply.refusal();
  }

  static RunFixture* run_;
  static std::vector<std::unique_ptr<TestSite>> sites_;
  static RoundEvent round_;
};
RunFixture* RefusalsTest::run_ = nullptr;
std::vector<std::unique_ptr<TestSite>> RefusalsTest::sites_;
RoundEvent RefusalsTest::round_;

TEST_F(RefusalsTest, ACertificateOfTheAuthorityWithAnotherKey) {
  TestSite other(*run_, "alba", run_->MakeKit("alba-with-another-key", "alba"));
  ExpectRefused(JoinRefusal(other), Refusal::WRONG_KEY, "alba");
}

TEST_F(RefusalsTest, ACertificateOfAForeignAuthority) {
  run_->MakeAuthorityNamed("foreign");
  TestSite foreign(*run_, "alba", run_->MakeKit("foreign-alba", "alba", "foreign"));
  JoinReply reply;
  EXPECT_EQ(foreign.TryJoin(&reply).error_code(), grpc::StatusCode::UNAVAILABLE);
  for (int i = 0; i < 200 && !absl::StrContains(run_->Log(), "certificate verify failed"); ++i) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_THAT(run_->Log(), HasSubstr("certificate verify failed"));
}

TEST_F(RefusalsTest, ASiteThatIsNotAMember) {
  TestSite nemo(*run_, "nemo", run_->MakeKit("nemo", "nemo"));
  ExpectRefused(JoinRefusal(nemo), Refusal::NOT_A_MEMBER, "nemo");
  Refusal refusal;
  nemo.Pull(round_.base_digest(), round_.base_bytes(), &refusal);
  EXPECT_EQ(refusal.code(), Refusal::NOT_A_MEMBER);
}

TEST_F(RefusalsTest, ASiteThatActsAsAnother) {
  TestSite as_alba(*run_, "alba", run_->kit("brena"));
  ExpectRefused(JoinRefusal(as_alba), Refusal::NOT_A_MEMBER, "brena");
  // With its own session and key, but another's name in what is signed.
  const auto prepared = brena().Prepare(round_, z(), [](Contribution* c) { c->set_site("alba"); });
  ExpectRefused(brena().Push(prepared).refusal(), Refusal::BAD_SIGNATURE, "brena");
  // With another's signature.
  ExpectRefused(brena().Push(alba().Prepare(round_, z())).refusal(), Refusal::BAD_SIGNATURE,
                "brena");
}

TEST_F(RefusalsTest, AnotherManifestThanTheOneAccepted) {
  TestSite site(*run_, "brena");
  ExpectRefused(JoinRefusal(site, std::string(32, 'm')), Refusal::WRONG_MANIFEST, "brena");
}

TEST_F(RefusalsTest, AChunkThatIsNotTheOneThatWasSigned) {
  auto prepared = brena().Prepare(round_, z());
  prepared.blob[kChunkBytes + 5] ^= 1;
  ExpectRefused(brena().Push(prepared).refusal(), Refusal::CORRUPTED, "brena");
  EXPECT_EQ(brena().Resume(prepared).chunk_bitmap(),
            std::string(1, '\x01'));  // the first was right
}

TEST_F(RefusalsTest, ChunkDigestsThatDoNotMakeTheSignedOne) {
  auto prepared = brena().Prepare(round_, z());
  (*prepared.head.mutable_chunk_sha256s())[3] ^= 1;
  ExpectRefused(brena().Push(prepared).refusal(), Refusal::CORRUPTED, "brena");
  prepared.head.mutable_chunk_sha256s()->resize(33);
  ExpectRefused(brena().Push(prepared).refusal(), Refusal::MALFORMED, "brena");
}

TEST_F(RefusalsTest, AVectorOfAnotherLayout) {
  const auto signed_so = brena().Prepare(
      round_, z(), [](Contribution* c) { c->set_layout_digest(std::string(32, 'l')); });
  ExpectRefused(brena().Push(signed_so).refusal(), Refusal::WRONG_LAYOUT, "brena");
  // The signed head says the right one, the vector itself another.
  std::string blob = brena().Prepare(round_, z()).blob;
  blob[40] ^= 1;
  const Refusal refusal = brena().Push(brena().PrepareBlob(round_, blob)).refusal();
  ExpectRefused(refusal, Refusal::WRONG_LAYOUT, "brena");
  EXPECT_THAT(refusal.reason(), HasSubstr("header"));
}

TEST_F(RefusalsTest, AVectorOfAnotherLength) {
  std::vector<float> shorter = z();
  shorter.pop_back();
  ExpectRefused(brena().Push(brena().Prepare(round_, shorter)).refusal(), Refusal::WRONG_LENGTH,
                "brena");
}

TEST_F(RefusalsTest, ValuesThatAreNotFinite) {
  std::vector<float> x = z();
  x[123456] = std::nanf("");
  const Refusal refusal = brena().Push(brena().Prepare(round_, x)).refusal();
  ExpectRefused(refusal, Refusal::NOT_FINITE, "brena");
  EXPECT_THAT(refusal.reason(), HasSubstr("element 123456"));
  EXPECT_THAT(refusal.reason(), ::testing::Not(HasSubstr(run_->directory())));
}

TEST_F(RefusalsTest, AnUpdateThatIsTooLarge) {
  std::vector<float> x = z();
  x[0] += 11;
  ExpectRefused(brena().Push(brena().Prepare(round_, x)).refusal(), Refusal::NORM_TOO_LARGE,
                "brena");
}

TEST_F(RefusalsTest, ASecondOtherContributionWhileTheSameGetsItsReceipt) {
  const auto first = alba().Prepare(round_, z());
  const PushReply stored = alba().Push(first);
  ASSERT_TRUE(stored.stored()) << stored.ShortDebugString();
  const PushReply again = alba().Push(first);
  EXPECT_TRUE(again.stored());
  EXPECT_EQ(again.receipt_digest(), stored.receipt_digest());
  std::vector<float> x = z();
  x[0] += 1;
  ExpectRefused(alba().Push(alba().Prepare(round_, x)).refusal(), Refusal::ANOTHER_STORED, "alba");
  EXPECT_EQ(alba().Resume(first).receipt_digest(), stored.receipt_digest());
}

TEST_F(RefusalsTest, AContributionToAnotherRound) {
  const auto prepared = brena().Prepare(round_, z(), [](Contribution* c) { c->set_round(1); });
  ExpectRefused(brena().Push(prepared).refusal(), Refusal::WRONG_ROUND, "brena");
}

TEST_F(RefusalsTest, AnOlderSession) {
  TestSite first(*run_, "corra");
  first.Join();
  TestSite second(*run_, "corra");
  second.Join();
  ExpectRefused(first.Push(first.Prepare(round_, z())).refusal(), Refusal::SESSION_REPLACED,
                "corra");
  ExpectRefused(first.Report(0, 1.0).refusal(), Refusal::SESSION_REPLACED, "corra");
  EXPECT_EQ(first.WaitFor([](const RoundEvent&) { return true; }).refusal().code(),
            Refusal::SESSION_REPLACED);
}

TEST_F(RefusalsTest, AReportThatIsNotANumber) {
  ExpectRefused(brena().Report(0, std::nan("")).refusal(), Refusal::NOT_FINITE, "brena");
  ExpectRefused(brena().Report(5, 1.0).refusal(), Refusal::WRONG_ROUND, "brena");
}

TEST_F(RefusalsTest, ABlobThatIsNotServed) {
  Refusal refusal;
  brena().Pull(std::string(32, 'u'), 0, &refusal);
  ExpectRefused(refusal, Refusal::UNKNOWN_BLOB, "brena");
}

TEST_F(RefusalsTest, StreamsThatAreNoPush) {
  const auto prepared = brena().Prepare(round_, z());
  for (const bool with_head : {false, true}) {
    grpc::ClientContext context;
    PushReply reply;
    const auto stream = brena().stub().Push(&context, &reply);
    PushMessage message;
    if (with_head) {
      *message.mutable_head() = prepared.head;
      *message.mutable_head()->mutable_context() = brena().context();
      stream->Write(message);
    }
    message.mutable_chunk()->set_number(1 << 30);
    message.mutable_chunk()->set_data("x");
    stream->Write(message);
    stream->WritesDone();
    ASSERT_TRUE(stream->Finish().ok());
    ExpectRefused(reply.refusal(), Refusal::MALFORMED, "brena");
  }
}

TEST_F(RefusalsTest, AMessageThatIsTooLarge) {
  grpc::ClientContext context;
  PushReply reply;
  const auto stream = brena().stub().Push(&context, &reply);
  PushMessage message;
  message.mutable_chunk()->set_data(std::string(5 << 20, 'x'));
  stream->Write(message);
  stream->WritesDone();
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(RefusalsTest, Tls12) {
  const std::string identity = absl::StrCat(
      " -cert ", run_->kit("alba"), "/certificate.pem -key ", run_->kit("alba"),
      "/key.pem -CAfile ", run_->path("authority/certificate.pem"), " -alpn h2 </dev/null");
  const std::string client = absl::StrCat("openssl s_client -connect 127.0.0.1:", run_->port());
  const std::string with13 = Shell(client + " -tls1_3" + identity);
  EXPECT_THAT(with13, HasSubstr("Verify return code: 0 (ok)"));
  EXPECT_THAT(with13, HasSubstr("New, TLSv1.3"));
  const std::string with12 = Shell(client + " -tls1_2" + identity);
  EXPECT_THAT(with12, HasSubstr("no peer certificate available"));
  EXPECT_THAT(with12, HasSubstr("New, (NONE), Cipher is (NONE)"));
  EXPECT_THAT(run_->Log(), HasSubstr("no shared cipher"));
}

TEST_F(RefusalsTest, ASiteThatIsRevokedWhileTheRunGoesOn) {
  TestSite site(*run_, "corra");
  site.Join();
  MemberSite* member = run_->membership().mutable_sites(2);
  member->set_revoked(true);
  member->set_revocation_reason("its key was lost");
  run_->ReplaceMembership();
  const RoundEvent told = site.WaitFor([](const RoundEvent& e) { return e.has_refusal(); });
  ExpectRefused(told.refusal(), Refusal::REVOKED, "corra");
  EXPECT_THAT(told.refusal().reason(), HasSubstr("its key was lost"));
  ExpectRefused(site.Push(site.Prepare(round_, z())).refusal(), Refusal::REVOKED, "corra");
  TestSite again(*run_, "corra");
  ExpectRefused(JoinRefusal(again), Refusal::REVOKED, "corra");
}

TEST_F(RefusalsTest, AMembershipThatTheAuthorityDidNotSign) {
  const std::string path = run_->directory() + "/membership.signed.json";
  std::string bytes = *ReadWholeFile(path);
  const std::string good = bytes;
  const size_t at = bytes.find("\"sig\"") + 12;
  bytes[at] = bytes[at] == 'A' ? 'B' : 'A';
  ASSERT_TRUE(WriteFileDurably(path, bytes).ok());
  for (int i = 0; i < 300 && !absl::StrContains(run_->Log(), "the membership is not taken"); ++i) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_THAT(run_->Log(), HasSubstr("the membership is not taken"));
  ASSERT_TRUE(WriteFileDurably(path, good).ok());
}

TEST_F(RefusalsTest, ARefusalIsInTheAuditRecords) {
  TestSite nemo(*run_, "nemo", run_->MakeKit("nemo-again", "nemo"));
  JoinRefusal(nemo);
  absl::SleepFor(absl::Milliseconds(100));
  std::string output;
  ASSERT_EQ(run_->RunProgram({"status", "--directory", run_->directory(), "--json"}, &output), 0)
      << output;
  const auto status = nlohmann::json::parse(output);
  bool found = false;
  for (const auto& decision : status["decisions"]) {
    found = found || (decision["refusal"] == "NOT_A_MEMBER" && decision["site"] == "nemo");
  }
  EXPECT_TRUE(found) << output;
}

}  // namespace
}  // namespace weft
