#include "ops/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "ops/identity.h"
#include "ops/new_manifest.h"
#include "ops/signed_file.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ModelConfig SmallModel() {
  ModelConfig config;
  config.set_vocabulary_size(256);
  config.set_hidden_size(16);
  config.set_layer_count(1);
  config.set_attention_heads(2);
  config.set_key_value_heads(1);
  config.set_head_dimension(8);
  config.set_intermediate_size(32);
  config.set_context_length(64);
  config.set_qk_norm(true);
  config.set_tied_embeddings(true);
  config.set_rope_theta(500000);
  config.set_norm_epsilon(1e-6);
  return config;
}

class ManifestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const ParameterLayout layout = *TransformerLayout(SmallModel());
    ParameterVector vector(layout.element_count());
    for (uint64_t i = 0; i < vector.size(); ++i) vector.data()[i] = 0.001f * static_cast<float>(i);
    ASSERT_TRUE(WriteHuggingFaceFolder(Path("initial"), SmallModel(), vector.span(), "").ok());
    ASSERT_TRUE(WriteFileDurably(Path("initial/tokenizer.model"), "tokenizer").ok());
    BlobDirectory blobs = *BlobDirectory::Open(Path("blobs"));
    const VectorHeader header{.element_count = vector.size(), .layout = layout.digest()};
    consensus_ = ToHex(*WriteVector(blobs, header, vector.span(), {}));
  }

  using Change = std::function<void(RunManifest*)>;
  // Each change of a good manifest is refused with these words.
  void ExpectNamed(const std::vector<std::pair<Change, std::string>>& cases) const {
    const RunManifest good = *NewManifest(Options());
    for (const auto& [change, words] : cases) {
      RunManifest changed = good;
      change(&changed);
      EXPECT_THAT(CheckManifest(changed).ToString(), HasSubstr(words));
    }
  }

  std::string Path(absl::string_view name) const { return folder_ / std::string(name); }
  NewManifestOptions Options() const {
    NewManifestOptions options;
    options.initial_folder = Path("initial");
    options.run_id = "demo";
    options.rounds = 8;
    options.inner_steps = 20;
    return options;
  }

  testing::TemporaryFolder folder_;
  std::string consensus_;
};

TEST_F(ManifestTest, NewManifestsOfEveryPresetAreAllowed) {
  for (const char* preset : {"fedavg", "fedprox", "elastic", "elastic_async", "delayed", "diloco",
                             "fedadam", "admm", "proximal"}) {
    NewManifestOptions options = Options();
    options.preset = preset;
    absl::StatusOr<RunManifest> run = NewManifest(options);
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_TRUE(CheckManifest(*run).ok()) << CheckManifest(*run);
    EXPECT_EQ(run->initial_consensus(), consensus_) << "the digest of the blob that sites hold";
    EXPECT_EQ(run->rounds().quorum(), 2u);
    EXPECT_EQ(run->training().sequence_length(), 64u);
  }
}

TEST_F(ManifestTest, EveryValueThatIsNotAllowedIsNamed) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::pair<Change, std::string>> cases = {
      {[](RunManifest* m) { m->set_protocol_version(2); }, "protocol_version is 2; allowed: 1"},
      {[](RunManifest* m) { m->set_run_id("My Run"); }, "run_id is 'My Run'"},
      {[](RunManifest* m) { m->set_description("two\nlines"); }, "description"},
      {[](RunManifest* m) { m->set_tokenizer_sha256("12"); }, "tokenizer_sha256 is '12'"},
      {[](RunManifest* m) { m->set_layout_digest("12"); }, "layout_digest is '12'"},
      {[](RunManifest* m) { m->set_initial_consensus(""); }, "initial_consensus is ''"},
      {[](RunManifest* m) { m->set_license(""); }, "license is ''"},
      {[](RunManifest* m) { m->mutable_model()->set_layer_count(0); }, "layer_count"},
      {[](RunManifest* m) { m->mutable_model()->set_layer_count(2); }, "layout_digest"},
      {[](RunManifest* m) { m->mutable_consensus()->set_preset("best"); },
       "fedavg, fedprox, elastic, elastic_async, delayed, diloco, fedadam, admm, proximal"},
      {[](RunManifest* m) { m->mutable_consensus()->set_preset("fedavg"); }, "no pull"},
      {[](RunManifest* m) { m->mutable_consensus()->set_preset("diloco"); }, "Nesterov"},
      {[](RunManifest* m) { m->mutable_consensus()->clear_pull(); }, "means rho or pull"},
      {[](RunManifest* m) { m->mutable_consensus()->set_rho(1); }, "give one of them"},
      {[](RunManifest* m) { m->mutable_consensus()->set_pull(1); }, "consensus.pull is 1"},
      {[=](RunManifest* m) { m->mutable_consensus()->set_pull(nan); }, "consensus.pull is nan"},
      {[](RunManifest* m) { m->mutable_consensus()->set_alpha(0); }, "consensus.alpha is 0"},
      {[](RunManifest* m) { m->mutable_consensus()->set_combine("best"); },
       "consensus.combine is 'best'; allowed: mean, norm_clipped_mean, trimmed_mean"},
      {[](RunManifest* m) { m->mutable_consensus()->mutable_outer()->set_name("rmsprop"); },
       "consensus.outer.name is 'rmsprop'; allowed: sgd, adam"},
      {[](RunManifest* m) { m->mutable_consensus()->mutable_outer()->set_learning_rate(0); },
       "consensus.outer.learning_rate"},
      {[](RunManifest* m) { m->mutable_consensus()->mutable_outer()->set_momentum(1); },
       "consensus.outer.momentum"},
      {[](RunManifest* m) { m->mutable_consensus()->mutable_outer()->set_nesterov(true); },
       "needs sgd with a momentum above 0"},
      {[](RunManifest* m) { m->mutable_rounds()->set_round_count(0); }, "rounds.round_count"},
      {[](RunManifest* m) { m->mutable_rounds()->set_inner_steps(0); }, "rounds.inner_steps"},
      {[](RunManifest* m) { m->mutable_rounds()->set_round_count(4'000'000'000u); },
       "the steps of all rounds is 80000000000; allowed: at most 100000000"},
      {[](RunManifest* m) { m->mutable_rounds()->set_quorum(4); },
       "rounds.quorum is 4; allowed: 1 to sites_to_start, 3"},
      {[](RunManifest* m) { m->mutable_rounds()->set_sites_to_start(0); }, "sites_to_start is 0"},
      {[](RunManifest* m) { m->mutable_rounds()->set_round_seconds_max(0); }, "round_seconds_max"},
      {[](RunManifest* m) { m->mutable_rounds()->set_update_norm_max(-1); }, "update_norm_max"},
      {[](RunManifest* m) { m->mutable_rounds()->set_publish_every(0); }, "publish_every"},
      {[](RunManifest* m) { m->mutable_training()->set_batch_size(0); }, "training.batch_size"},
      {[](RunManifest* m) { m->mutable_training()->set_sequence_length(65); },
       "training.sequence_length is 65; allowed: 8 to the model's context_length, 64"},
      {[](RunManifest* m) { m->mutable_training()->set_learning_rate(0); }, "learning_rate is 0"},
      {[](RunManifest* m) { m->mutable_training()->set_learning_rate_min(1); },
       "learning_rate_min is 1"},
      {[](RunManifest* m) { m->mutable_training()->set_warmup_steps(161); }, "warmup_steps is 161"},
      {[](RunManifest* m) { m->mutable_training()->set_weight_decay(2); }, "weight_decay is 2"},
      {[](RunManifest* m) { m->mutable_training()->set_beta1(1); }, "beta1 is 1"},
      {[](RunManifest* m) { m->mutable_training()->set_beta2(1); }, "beta2 is 1"},
      {[](RunManifest* m) { m->mutable_training()->set_epsilon(0); }, "epsilon is 0"},
      {[=](RunManifest* m) { m->mutable_training()->set_gradient_clip(nan); }, "gradient_clip"},
      {[](RunManifest* m) { m->mutable_encodings()->set_up("delta_int2"); },
       "encodings.up is 'delta_int2'; allowed: parameters_fp32, delta_bf16"},
      {[](RunManifest* m) { m->mutable_encodings()->set_down(""); }, "encodings.down is ''"},
  };
  ExpectNamed(cases);
}

TEST_F(ManifestTest, EveryPolicyThatIsNotAllowedIsNamed) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  ExpectNamed({
      {[](RunManifest* m) { m->mutable_rounds()->set_without_quorum("wait"); },
       "rounds.without_quorum is 'wait'; allowed: extend, abandon"},
      {[](RunManifest* m) {
         m->mutable_rounds()->set_without_quorum("abandon");
         m->mutable_rounds()->set_extensions_max(2);
       },
       "leave one of them out"},
      {[=](RunManifest* m) { m->mutable_rounds()->set_norm_factor_max(nan); }, "norm_factor_max"},
      {[](RunManifest* m) { m->mutable_rounds()->set_late("ignore"); },
       "rounds.late is 'ignore'; allowed: refuse, carry"},
      {[](RunManifest* m) { m->mutable_rounds()->set_late_discount(1); }, "belong to late: carry"},
      {[](RunManifest* m) { m->mutable_rounds()->set_late_staleness_max(65); }, "0 to 64 versions"},
      {[](RunManifest* m) { m->mutable_rounds()->set_inner_steps_min(21); },
       "inner_steps_min is 21; allowed: 0 (all of them) to inner_steps, 20"},
      {[](RunManifest* m) { m->mutable_rounds()->set_upload_seconds(1u << 31); }, "upload_seconds"},
      {[](RunManifest* m) { m->mutable_rounds()->set_evaluation_seconds_max(1u << 31); },
       "evaluation_seconds_max"},
      {[](RunManifest* m) { m->mutable_rounds()->set_evaluation_missing("halt"); },
       "allowed: accept, refuse"},
  });
}

TEST_F(ManifestTest, SeveralProblemsAreToldAtOnce) {
  RunManifest run = *NewManifest(Options());
  run.set_run_id("");
  run.mutable_encodings()->set_up("?");
  EXPECT_THAT(CheckManifest(run).ToString(), HasSubstr("run_id"));
  EXPECT_THAT(CheckManifest(run).ToString(), HasSubstr("encodings.up"));
}

TEST_F(ManifestTest, WordsSayWhatLeavesASite) {
  const RunManifest run = *NewManifest(Options());
  const uint64_t bytes =
      EncodedBytes(Encoding::kDeltaBf16, TransformerLayout(run.model())->element_count());
  EXPECT_THAT(DescribeManifest(run), HasSubstr("never text"));
  EXPECT_THAT(DescribeManifest(run), HasSubstr("8 rounds of 20 steps"));
  EXPECT_THAT(DescribeManifest(run), HasSubstr("50 % of the way back"));
  EXPECT_GT(bytes, 1000u);
  std::string grouped = absl::StrCat(bytes);
  grouped.insert(grouped.size() - 3, 1, ',');
  EXPECT_THAT(DescribeManifest(run), HasSubstr(grouped + " bytes"));
}

TEST_F(ManifestTest, WordsSayWhatHappensWhenARoundGoesWrong) {
  NewManifestOptions options = Options();
  EXPECT_THAT(DescribeManifest(*NewManifest(options)), HasSubstr("a late contribution is refused"));
  EXPECT_THAT(DescribeManifest(*NewManifest(options)), HasSubstr("without an evaluation"));
  options.without_quorum = "extend";
  options.extensions_max = 2;
  options.late = "carry";
  options.norm_factor_max = 4;
  options.inner_steps_min = 5;
  options.evaluation_seconds = 60;
  const RunManifest run = *NewManifest(options);
  EXPECT_TRUE(CheckManifest(run).ok()) << CheckManifest(run);
  for (const char* words :
       {"is extended 2 times, then abandoned", "at most 1 versions old, 1/(1+age)^0.5 as much",
        "a factor of 4 of the median", "a slow site may do 5 steps", "waits 60 s",
        "without a word is refused"}) {
    EXPECT_THAT(DescribeManifest(run), HasSubstr(words));
  }
}

TEST_F(ManifestTest, LoadsOnlyWhatEnoughAuthoritiesSigned) {
  for (const char* name : {"one", "two", "stranger"}) {
    ASSERT_TRUE(MakeAuthority(Path(name), name, absl::Hours(1)).ok());
  }
  Authorities both = LoadIdentity(Path("one"))->authorities;
  both.add_public_keys(LoadIdentity(Path("two"))->authorities.public_keys(0));
  both.set_threshold(2);
  const RunManifest run = *NewManifest(Options());
  ASSERT_TRUE(WriteTextProto(Path("run.textproto"), run).ok());
  const auto sign = [&](absl::string_view who, absl::string_view in, absl::string_view out) {
    return SignFile(Path(who), Path(in), Path(out), kManifestType,
                    [](const std::string&) { return absl::OkStatus(); });
  };
  EXPECT_EQ(LoadSignedManifest(Path("run.textproto"), both).status().code(),
            absl::StatusCode::kPermissionDenied);
  ASSERT_TRUE(sign("one", "run.textproto", "1.json").ok());
  EXPECT_EQ(LoadSignedManifest(Path("1.json"), both).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(sign("one", "1.json", "2.json").status().ToString(), HasSubstr("signed it already"));
  ASSERT_TRUE(sign("stranger", "1.json", "s.json").ok());
  EXPECT_FALSE(LoadSignedManifest(Path("s.json"), both).ok());
  ASSERT_TRUE(sign("two", "1.json", "2.json").ok());
  absl::StatusOr<SignedManifest> loaded = LoadSignedManifest(Path("2.json"), both);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->bytes, *ReadWholeFile(Path("run.textproto")));
  EXPECT_EQ(loaded->digest, *Sha256OfFile(Path("run.textproto")));
  EXPECT_EQ(loaded->manifest.run_id(), "demo");
  // Signed, but as something else.
  EXPECT_THAT(LoadSignedMembership(Path("2.json"), both).status().ToString(),
              HasSubstr("expected"));
}

TEST_F(ManifestTest, RefusesWhatWasChangedOrIsNotAllowedEvenIfSigned) {
  ASSERT_TRUE(MakeAuthority(Path("one"), "one", absl::Hours(1)).ok());
  const Authorities authorities = LoadIdentity(Path("one"))->authorities;
  RunManifest run = *NewManifest(Options());
  run.mutable_rounds()->set_round_count(0);
  ASSERT_TRUE(WriteTextProto(Path("run.textproto"), run).ok());
  ASSERT_TRUE(SignFile(Path("one"), Path("run.textproto"), Path("run.json"), kManifestType,
                       [](const std::string&) { return absl::OkStatus(); })
                  .ok());
  EXPECT_THAT(LoadSignedManifest(Path("run.json"), authorities).status().ToString(),
              HasSubstr("rounds.round_count is 0"));
  SignedStatement statement =
      *ParseSignedStatement(*ReadWholeFile(Path("run.json")), Path("run.json"));
  statement.payload[10] ^= 1;
  ASSERT_TRUE(WriteFileDurably(Path("run.json"), PrintSignedStatement(statement)).ok());
  EXPECT_EQ(LoadSignedManifest(Path("run.json"), authorities).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(ManifestTest, MembershipsAreChecked) {
  ASSERT_TRUE(MakeAuthority(Path("one"), "one", absl::Hours(1)).ok());
  Membership good;
  good.set_protocol_version(1);
  good.set_run_id("demo");
  good.set_version(1);
  MemberSite* north = good.add_sites();
  north->set_name("north");
  north->set_public_key(LoadIdentity(Path("one"))->authorities.public_keys(0));
  EXPECT_TRUE(CheckMembership(good).ok()) << CheckMembership(good);
  ASSERT_NE(FindMember(good, "north"), nullptr);
  EXPECT_EQ(FindMember(good, "south"), nullptr);

  using Change = std::function<void(Membership*)>;
  const std::vector<std::pair<Change, std::string>> cases = {
      {[](Membership* m) { m->set_protocol_version(0); }, "protocol_version is 0"},
      {[](Membership* m) { m->set_run_id(""); }, "run_id is ''"},
      {[](Membership* m) { m->set_version(0); }, "version is 0"},
      {[](Membership* m) { m->clear_sites(); }, "number of sites is 0"},
      {[](Membership* m) { m->mutable_sites(0)->set_name("coordinator"); }, "'coordinator'"},
      {[](Membership* m) { m->mutable_sites(0)->set_public_key("key"); }, "public_key"},
      {[](Membership* m) { m->mutable_sites(0)->set_weight(-1); }, "weight is -1"},
      {[](Membership* m) { *m->add_sites() = m->sites(0); }, "is listed twice"},
      {[](Membership* m) { *m->add_sites() = m->sites(0); }, "the key of another site"},
      {[](Membership* m) {
         *m->add_sites() = m->sites(0);
         m->mutable_sites(0)->set_weight(1);
       },
       "weight: give it to every site"},
  };
  for (const auto& [change, words] : cases) {
    Membership changed = good;
    change(&changed);
    EXPECT_THAT(CheckMembership(changed).ToString(), HasSubstr(words));
  }
}

TEST_F(ManifestTest, PrintsZerosToo) {
  const std::string text = PrintEveryField(*NewManifest(Options()));
  EXPECT_THAT(text, HasSubstr("consensus.rho: 0\n"));
  EXPECT_THAT(text, HasSubstr("rounds.quorum: 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("{")));
}

}  // namespace
}  // namespace weft
