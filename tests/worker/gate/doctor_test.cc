#include "worker/gate/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"
#include "tests/testing/fake_coordinator.h"
#include "tests/testing/temporary_folder.h"
#include "worker/gate/gate_folder.h"
#include "worker/gate/ledger.h"

namespace weft {
namespace {

using ::testing::HasSubstr;
using Result = Finding::Result;

constexpr char kManifest[] = R"(
    protocol_version: 1 run_id: "demo" description: "A run of the tests." seed: 7
    model { vocabulary_size: 256 hidden_size: 32 layer_count: 2 attention_heads: 4 key_value_heads: 2
            head_dimension: 16 intermediate_size: 64 context_length: 64 qk_norm: true tied_embeddings: true
            rope_theta: 500000 norm_epsilon: 1e-6 }
    consensus { preset: "fedavg" alpha: 1 combine: "mean" outer { name: "sgd" learning_rate: 1 } }
    rounds { round_count: 3 inner_steps: 5 quorum: 1 sites_to_start: 1 round_seconds_max: 60
             update_norm_max: 100 publish_every: 8 }
    training { batch_size: 2 sequence_length: 32 learning_rate: 1e-3 learning_rate_min: 1e-4
               warmup_steps: 2 weight_decay: 0.1 beta1: 0.9 beta2: 0.95 epsilon: 1e-8 gradient_clip: 1 }
    encodings { up: "parameters_fp32" down: "parameters_fp32" }
    license: "Apache-2.0")";

class DoctorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::MakeKits(folder_.path(), {"north", "south"});
    Serve("coordinator");
    const std::vector<float> z(1000, 0.5f);
    const Digest layout = Sha256("a layout");
    std::string blob = PrintVectorHeader({.element_count = z.size(), .layout = layout});
    ASSERT_TRUE(EncodeElements(Encoding::kParametersFp32, z, {}, 0, &blob).ok());
    fake_->blobs[ToBytes(BlobDigest(blob))] = blob;
    fake_->now.set_base_digest(ToBytes(BlobDigest(blob)));
    fake_->now.set_base_bytes(blob.size());
    ASSERT_TRUE(ParseTextProto(kManifest, "test", &manifest_).ok());
    manifest_.set_tokenizer_sha256(ToHex(Sha256("a tokenizer")));
    manifest_.set_initial_consensus(ToHex(BlobDigest(blob)));
    Accept();
    options_ = {folder_ / "state", folder_ / "north",    fake_->target(),
                folder_ / "site",  {folder_ / "shards"}, 10};
    Shards("a tokenizer");
  }
  void Serve(const std::string& kit) {
    fake_ = std::make_unique<testing::FakeCoordinator>(*LoadIdentity(folder_ / kit));
  }
  void Accept() {
    manifest_.set_layout_digest(ToHex(TransformerLayout(manifest_.model())->digest()));
    SignedStatement statement;
    statement.payload_type = std::string(kManifestType);
    statement.payload = PrintTextProto(manifest_);
    ASSERT_TRUE(Sign(*ReadWholeFile(folder_ / "authority/key.pem"), &statement).ok());
    ASSERT_TRUE(GateFolder(folder_ / "state").MakeFolders().ok());
    ASSERT_TRUE(WriteFileDurably(GateFolder(folder_ / "state").manifest_path(),
                                 PrintSignedStatement(statement))
                    .ok());
  }
  void Shards(const std::string& tokenizer) {
    ASSERT_TRUE(MakeDirectories(folder_ / "shards").ok());
    ASSERT_TRUE(
        WriteFileDurably(folder_ / "shards/manifest.json",
                         absl::StrCat(R"({"tokenizer_sha256": ")", ToHex(Sha256(tokenizer)), "\"}"))
            .ok());
  }
  bool Examine() {
    found_.clear();
    return RunDoctor(options_, [&](const CheckReport& r) { found_[r.check] = r.finding; });
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<testing::FakeCoordinator> fake_;
  RunManifest manifest_;
  DoctorOptions options_;
  std::map<std::string, Finding> found_;
};

TEST_F(DoctorTest, AllGood) {
  EXPECT_TRUE(Examine());
  EXPECT_EQ(found_.size(), 13u);
  for (const auto& [check, finding] : found_) {
    // The kits of the test are good for an hour only.
    const Result expected = check == "kit" ? Result::kWarning : Result::kOk;
    EXPECT_EQ(finding.result, expected) << check << ": " << finding.words;
  }
  const auto sent = ReadLedger(folder_ / "state/ledger.jsonl")->sent;
  EXPECT_EQ(sent.at("join").entries, 1u);
  EXPECT_EQ(sent.at("pull").entries, 1u);
  EXPECT_EQ(sent.size(), 2u);
  EXPECT_EQ(fake_->joins, 0);
  EXPECT_EQ(fake_->asked, 1);
}

TEST_F(DoctorTest, NothingListens) {
  fake_.reset();
  EXPECT_FALSE(Examine());
  EXPECT_EQ(found_["tcp"].result, Result::kFailed);
  EXPECT_THAT(found_["tcp"].words, HasSubstr("refused"));
  EXPECT_EQ(found_["tls"].result, Result::kSkipped);
  EXPECT_EQ(found_["membership"].result, Result::kSkipped);
}

TEST_F(DoctorTest, SaysWhichPartOfTheCertificateIsWrong) {
  options_.coordinator = absl::StrCat("localhost:", fake_->port());
  EXPECT_FALSE(Examine());
  EXPECT_THAT(found_["tls"].words, HasSubstr("ostname mismatch"));

  testing::MakeKits(folder_ / "elsewhere", {"north"});
  Serve("elsewhere/coordinator");
  options_.coordinator = fake_->target();
  EXPECT_FALSE(Examine());
  EXPECT_THAT(found_["tls"].advice, HasSubstr("not of this kit's authority"));
  EXPECT_EQ(fake_->joins, 0);
}

TEST_F(DoctorTest, ARefusalIsShownWithItsCode) {
  fake_->refuse = Refusal::REVOKED;
  EXPECT_FALSE(Examine());
  EXPECT_THAT(found_["membership"].words, HasSubstr("REVOKED"));
  EXPECT_EQ(found_["bandwidth"].result, Result::kSkipped);
}

// It holds the folder's lock, and writes the same ledger.
TEST_F(DoctorTest, ARunningGateIsNotDisturbed) {
  const auto gate = GateFolder(options_.state).AcquireLock();
  ASSERT_TRUE(gate.ok());
  const auto ledger = Ledger::Open(GateFolder(options_.state).ledger_path());
  ASSERT_TRUE(ledger.ok());
  ASSERT_TRUE((*ledger)->AppendSent("join", "demo", 0, "abc", "").ok());
  EXPECT_TRUE(Examine());
  EXPECT_EQ(found_["membership"].result, Result::kOk) << found_["membership"].words;
  EXPECT_EQ(found_["bandwidth"].result, Result::kOk) << found_["bandwidth"].words;
  EXPECT_EQ(fake_->joins, 0);
  ASSERT_TRUE((*ledger)->AppendSent("leave", "demo", 0, "abc", "").ok());
  EXPECT_EQ(ReadLedger(options_.state + "/ledger.jsonl")->entries, 4u);
}

TEST_F(DoctorTest, Clocks) {
  fake_->clock_ahead = absl::Minutes(5);
  EXPECT_FALSE(Examine());
  EXPECT_EQ(found_["clock"].result, Result::kFailed);
  EXPECT_THAT(found_["clock"].words, HasSubstr("behind"));
  fake_->clock_ahead = absl::Seconds(-20);
  EXPECT_TRUE(Examine());
  EXPECT_EQ(found_["clock"].result, Result::kWarning);
  EXPECT_THAT(found_["clock"].words, HasSubstr("ahead of"));
}

TEST_F(DoctorTest, ThisMachine) {
  Shards("another tokenizer");
  manifest_.mutable_model()->set_vocabulary_size(1 << 20);
  manifest_.mutable_model()->set_hidden_size(1 << 16);
  Accept();
  // A file where a folder is expected.
  ASSERT_TRUE(WriteFileDurably(folder_ / "file", "").ok());
  options_.site_directory = folder_ / "file";
  EXPECT_FALSE(Examine());
  for (const char* check : {"tokenizer", "memory", "disk space", "site directory"}) {
    EXPECT_EQ(found_[check].result, Result::kFailed) << check << ": " << found_[check].words;
    EXPECT_FALSE(found_[check].advice.empty());
  }
}

// A pipe that nobody writes to is opened for ever, like a file of a server that has gone.
TEST_F(DoctorTest, ACheckThatHangsIsGivenUp) {
  ASSERT_TRUE(MakeDirectories(folder_ / "hanging").ok());
  ASSERT_EQ(mkfifo((folder_ / "hanging/manifest.json").c_str(), 0600), 0);
  const std::string command = absl::StrCat(
      std::getenv("WEFT_BIN"), "/weft-gate doctor --check-seconds 2 --state ", options_.state,
      " --kit ", options_.kit, " --coordinator ", options_.coordinator, " --site-directory ",
      options_.site_directory, " --data ", folder_ / "hanging", " 2>&1");
  const absl::Time began = absl::Now();
  FILE* doctor = popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof buffer, doctor)) output.append(buffer, got);
  const int status = pclose(doctor);
  ASSERT_TRUE(WIFEXITED(status)) << output;
  EXPECT_EQ(WEXITSTATUS(status), 1) << output;
  EXPECT_LT(absl::Now() - began, absl::Seconds(20));
  EXPECT_THAT(output, ::testing::ContainsRegex("FAILED +tokenizer +no end within 2 s"));
  EXPECT_THAT(output, HasSubstr("--check-seconds gives it longer"));
  // What comes after it is checked all the same.
  EXPECT_THAT(output, ::testing::ContainsRegex("ok +bandwidth"));
  EXPECT_THAT(output, HasSubstr("1 check(s) of the doctor failed"));
}

TEST(DoctorPartsTest, ParametersAreCountedAsTheLayoutDoes) {
  RunManifest manifest;
  ASSERT_TRUE(ParseTextProto(kManifest, "test", &manifest).ok());
  for (const bool flag : {true, false}) {
    manifest.mutable_model()->set_tied_embeddings(flag);
    manifest.mutable_model()->set_qk_norm(flag);
    EXPECT_EQ(ParameterCount(manifest.model()),
              TransformerLayout(manifest.model())->element_count());
  }
}

TEST(DoctorPartsTest, TheProxyThatGrpcTakes) {
  std::map<std::string, const char*> set;
  const auto get = [&](const char* name) { return set.count(name) ? set[name] : nullptr; };
  EXPECT_EQ(ProxyFor("run.example.org", get), "");
  set["HTTPS_PROXY"] = "http://upper:1";
  EXPECT_EQ(ProxyFor("run.example.org", get), "");
  set["http_proxy"] = "http://a:1";
  set["https_proxy"] = "http://b:2";
  EXPECT_EQ(ProxyFor("run.example.org", get), "http://b:2");
  set["grpc_proxy"] = "http://c:3";
  EXPECT_EQ(ProxyFor("run.example.org", get), "http://c:3");
  set["no_proxy"] = "other.org, .example.org";
  EXPECT_EQ(ProxyFor("run.example.org", get), "");
  set["no_grpc_proxy"] = "other.org";
  EXPECT_EQ(ProxyFor("run.example.org", get), "http://c:3");
}

}  // namespace
}  // namespace weft
