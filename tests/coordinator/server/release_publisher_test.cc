#include "coordinator/server/release_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_split.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "nlohmann/json.hpp"
#include "proto/durable_file.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class ReleasePublisherTest : public ::testing::Test {
 protected:
  ReleasePublisherTest() {
    manifest_.set_run_id("demo");
    manifest_.set_description("A run of a test.");
    manifest_.set_license("Apache-2.0");
    ModelConfig* model = manifest_.mutable_model();
    model->set_vocabulary_size(128);
    model->set_hidden_size(16);
    model->set_layer_count(1);
    model->set_attention_heads(2);
    model->set_key_value_heads(1);
    model->set_head_dimension(8);
    model->set_intermediate_size(32);
    model->set_context_length(64);
    model->set_qk_norm(true);
    model->set_tied_embeddings(true);
    model->set_rope_theta(500000);
    model->set_norm_epsilon(1e-6);
    const ParameterLayout layout = *TransformerLayout(manifest_.model());
    vector_ = std::vector<float>(layout.element_count(), 0.25f);
    VectorHeader header;
    header.element_count = layout.element_count();
    header.layout = layout.digest();
    const BlobDirectory blobs = *BlobDirectory::Open(folder_ / "blobs");
    const Digest digest = *WriteVector(blobs, header, vector_, {});
    release_.version = 8;
    release_.digest = ToHex(digest);
    release_.vector_path = blobs.PathOf(digest);
    release_.layout_digest = ToHex(layout.digest());

    EXPECT_TRUE(MakeDirectories(folder_ / "tokenizer").ok());
    for (const char* name : kTokenizerFiles) {
      EXPECT_TRUE(WriteFileDurably(folder_ / ("tokenizer/" + std::string(name)), name).ok());
    }
    RoundRecord round;
    round.set_round(7);
    round.add_cohort("a");
    round.add_cohort("b");
    auto* contribution = round.add_contributions();
    contribution->set_site("a");
    contribution->set_weight(1);
    contribution->set_digest(std::string(32, '\x0f'));
    contribution->set_token_count(1234);
    auto* refusal = round.add_refusals();
    refusal->set_site("b\xff");
    refusal->mutable_refusal()->set_code(Refusal::NORM_TOO_LARGE);
    refusal->mutable_refusal()->set_reason("the update's norm is 9");
    release_.rounds.push_back(round);
    SiteReport report;
    report.set_site("a");
    report.mutable_report()->set_round(7);
    report.mutable_report()->set_last_loss(2.5);
    report.mutable_report()->set_seconds_waiting(0.5);
    release_.reports.push_back(report);
  }
  absl::Status Write() {
    return WriteRelease(folder_ / "releases", manifest_, "run_id: \"demo\"\n",
                        folder_ / "tokenizer", release_);
  }
  std::string Content(const std::string& name) {
    return *ReadWholeFile(folder_ / ("releases/round-000008/" + name));
  }

  testing::TemporaryFolder folder_;
  RunManifest manifest_;
  Release release_;
  std::vector<float> vector_;
};

TEST_F(ReleasePublisherTest, TheModelReadsBackAndEveryFileIsInTheSums) {
  ASSERT_TRUE(Write().ok());
  const auto model = ReadHuggingFaceFolder(folder_ / "releases/round-000008");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(std::vector<float>(model->vector.span().begin(), model->vector.span().end()), vector_);
  std::vector<std::string> listed;
  for (const absl::string_view line :
       absl::StrSplit(Content("SHA256SUMS"), '\n', absl::SkipEmpty())) {
    const std::string name(line.substr(66));
    EXPECT_EQ(line.substr(0, 64), ToHex(Sha256(Content(name)))) << name;
    listed.push_back(name);
  }
  EXPECT_THAT(listed, ::testing::ElementsAre(
                          "LICENSE", "README.md", "config.json", "generation_config.json",
                          "model.safetensors", "rounds.jsonl", "run_manifest.textproto",
                          "special_tokens_map.json", "tokenizer.json", "tokenizer.model",
                          "tokenizer_config.json", "training_log.jsonl"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / "releases"), {}), 1);
}

TEST_F(ReleasePublisherTest, TheLogsSayWhatHappened) {
  ASSERT_TRUE(Write().ok());
  const auto round = nlohmann::json::parse(Content("rounds.jsonl"));
  EXPECT_EQ(round["contributions"][0]["site"], "a");
  EXPECT_EQ(round["contributions"][0]["weight"], 1.0);
  EXPECT_EQ(round["contributions"][0]["digest"].get<std::string>().substr(0, 4), "0f0f");
  EXPECT_EQ(round["refusals"][0]["code"], "NORM_TOO_LARGE");
  const auto training = nlohmann::json::parse(Content("training_log.jsonl"));
  EXPECT_EQ(training["sites"]["a"]["last_loss"], 2.5);
  EXPECT_EQ(training["sites"]["a"]["seconds_waiting"], 0.5);
  EXPECT_THAT(Content("README.md"), HasSubstr("license: apache-2.0"));
  EXPECT_THAT(Content("README.md"), HasSubstr("| tokens trained on | 1234 |"));
  EXPECT_THAT(Content("LICENSE"), HasSubstr("SPDX-License-Identifier: Apache-2.0"));
}

TEST_F(ReleasePublisherTest, AReleaseIsMadeOnceAndWhatACrashLeftIsReplaced) {
  ASSERT_TRUE(MakeDirectories(folder_ / "releases/round-000008.77.tmp").ok());
  ASSERT_TRUE(Write().ok());
  const std::string card = Content("README.md");
  manifest_.set_description("Another one.");
  ASSERT_TRUE(Write().ok());
  EXPECT_EQ(Content("README.md"), card);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / "releases"), {}), 1);
}

}  // namespace
}  // namespace weft
