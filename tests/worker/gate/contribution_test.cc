#include "worker/gate/contribution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "proto/contribution.pb.h"
#include "proto/durable_file.h"
#include "proto/signed_statement.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class ContributionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MakeAuthority(folder_ / "authority", "test", absl::Hours(1)).ok());
    ASSERT_TRUE(MakeRequest(folder_ / "kit", "north").ok());
    ASSERT_TRUE(IssueCertificate(folder_ / "authority", folder_ / "kit/request.pem",
                                 folder_ / "kit", {}, absl::Hours(1))
                    .ok());
    auto identity = LoadIdentity(folder_ / "kit");
    ASSERT_TRUE(identity.ok()) << identity.status();
    identity_ = *identity;
    site_blobs_.emplace(*BlobDirectory::Open(folder_ / "site"));
    own_blobs_.emplace(*BlobDirectory::Open(folder_ / "own"));
    ASSERT_TRUE(MakeDirectories(folder_ / "statements").ok());
    layout_.fill(7);
    for (int i = 0; i < 300000; ++i) {
      z_.push_back(std::sin(static_cast<float>(i)));
      x_.push_back(z_.back() + 0.01f * std::cos(static_cast<float>(i)));
    }
    base_ = Write(z_);
    round_.set_round(4);
    round_.set_base_digest(ToBytes(base_));
    round_.mutable_context()->set_base_version(4);
    result_.set_vector_digest(ToHex(Write(x_)));
    result_.set_inner_steps(20);
    result_.set_token_count(999);
  }

  Digest Write(const std::vector<float>& vector) {
    return *WriteVector(*site_blobs_, {.element_count = vector.size(), .layout = layout_}, vector,
                        {});
  }
  ContributionContext Context(Encoding encoding) {
    ContributionContext context;
    context.identity = &identity_;
    context.context.set_run_id("demo");
    context.context.set_session_id("not to be signed");
    context.encoding = encoding;
    context.vectors = {&*site_blobs_, &*own_blobs_, layout_};
    context.statement_folder = folder_ / "statements";
    return context;
  }

  testing::TemporaryFolder folder_;
  Identity identity_;
  std::optional<BlobDirectory> site_blobs_, own_blobs_;
  Digest layout_{}, base_{};
  std::vector<float> z_, x_;
  RoundEvent round_;
  RoundResult result_;
};

TEST_F(ContributionTest, SignsWhatItSends) {
  auto formed = FormContribution(Context(Encoding::kDeltaBf16), round_, result_);
  ASSERT_TRUE(formed.ok()) << formed.status();
  auto statement = ParseSignedStatement(formed->signed_statement, "test");
  ASSERT_TRUE(statement.ok());
  const std::vector<std::string> keys = {*PublicKeyOf(identity_.key_pem)};
  EXPECT_TRUE(Verify(*statement, kContributionType, keys, 1).ok());
  Contribution contribution;
  ASSERT_TRUE(contribution.ParseFromString(statement->payload));
  EXPECT_EQ(contribution.context().session_id(), "");
  EXPECT_EQ(contribution.round(), 4u);
  EXPECT_EQ(contribution.encoding(), "delta_bf16");
  EXPECT_EQ(contribution.blob_bytes(), EncodedBytes(Encoding::kDeltaBf16, x_.size()));
  EXPECT_EQ(contribution.blob_digest(), ToBytes(formed->blob));
  EXPECT_EQ(contribution.token_count(), 999u);
}

TEST_F(ContributionTest, DecodedItIsTheBaseAndTheRoundedChange) {
  auto formed = FormContribution(Context(Encoding::kDeltaBf16), round_, result_);
  ASSERT_TRUE(formed.ok()) << formed.status();
  auto reader = VectorReader::Open(own_blobs_->PathOf(formed->blob));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->header().base, base_);
  std::vector<float> decoded(x_.size());
  ASSERT_TRUE(reader->Read(0, z_, absl::MakeSpan(decoded)).ok());
  for (size_t i = 0; i < x_.size(); ++i) ASSERT_NEAR(decoded[i], x_[i], 1e-4) << i;
  EXPECT_NE(decoded, x_);
}

TEST_F(ContributionTest, WholeVectorsKeepEveryBit) {
  auto formed = FormContribution(Context(Encoding::kParametersFp32), round_, result_);
  ASSERT_TRUE(formed.ok()) << formed.status();
  EXPECT_EQ(ToHex(formed->blob), result_.vector_digest());
}

TEST_F(ContributionTest, AfterARestartTheSameBytesLeave) {
  auto before = FormContribution(Context(Encoding::kDeltaBf16), round_, result_);
  ASSERT_TRUE(before.ok()) << before.status();
  for (auto after : {FormContribution(Context(Encoding::kDeltaBf16), round_, result_),
                     LoadContribution(Context(Encoding::kDeltaBf16), round_)}) {
    ASSERT_TRUE(after.ok()) << after.status();
    EXPECT_EQ(after->blob, before->blob);
    EXPECT_EQ(after->signed_statement, before->signed_statement);
    EXPECT_EQ(after->chunk_sha256s, before->chunk_sha256s);
  }
}

TEST_F(ContributionTest, ReopenedRoundSignsTheSameBlobAnew) {
  auto before = FormContribution(Context(Encoding::kDeltaBf16), round_, result_);
  round_.set_round(5);
  auto after = FormContribution(Context(Encoding::kDeltaBf16), round_, result_);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->blob, before->blob);
  EXPECT_NE(after->signed_statement, before->signed_statement);
}

TEST_F(ContributionTest, DamagedOrNotFiniteVectorsAreNotSent) {
  x_[123456] = NAN;
  result_.set_vector_digest(ToHex(*site_blobs_->Put([&] {
    std::string bytes = PrintVectorHeader({.element_count = x_.size(), .layout = layout_});
    return bytes.append(reinterpret_cast<const char*>(x_.data()), x_.size() * sizeof(float));
  }())));
  EXPECT_THAT(FormContribution(Context(Encoding::kDeltaBf16), round_, result_).status().ToString(),
              HasSubstr("123456"));

  result_.set_vector_digest(ToHex(base_));
  std::fstream(site_blobs_->PathOf(base_), std::ios::in | std::ios::out | std::ios::binary)
      .seekp(5000)
      .put('!');
  EXPECT_EQ(FormContribution(Context(Encoding::kDeltaBf16), round_, result_).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(ContributionTest, AVectorOfAnotherLayoutIsNotSent) {
  layout_.fill(8);
  result_.set_vector_digest(ToHex(Write(x_)));
  layout_.fill(7);
  EXPECT_THAT(
      FormContribution(Context(Encoding::kParametersFp32), round_, result_).status().ToString(),
      HasSubstr("accepted layout"));
}

TEST_F(ContributionTest, DamageOfTheEncodedBlobIsFoundBeforeItIsSent) {
  auto formed = FormContribution(Context(Encoding::kDeltaBf16), round_, result_);
  std::fstream(own_blobs_->PathOf(formed->blob), std::ios::in | std::ios::out | std::ios::binary)
      .seekp(900)
      .put('!');
  EXPECT_EQ(LoadContribution(Context(Encoding::kDeltaBf16), round_).status().code(),
            absl::StatusCode::kDataLoss);
}

// A statement in which one byte was changed can still be read; the coordinator would refuse it.
TEST_F(ContributionTest, ADamagedStatementIsFormedAndSignedAgain) {
  const std::vector<std::string> keys = {*PublicKeyOf(identity_.key_pem)};
  auto before = FormContribution(Context(Encoding::kDeltaBf16), round_, result_);
  ASSERT_TRUE(before.ok()) << before.status();
  auto whole = ParseSignedStatement(before->signed_statement, "test");
  ASSERT_TRUE(whole.ok());
  std::vector<SignedStatement> damaged(3, *whole);
  damaged[0].signatures[0].bytes[20] ^= 1;
  damaged[1].payload.back() ^= 1;  // of the last number: it stays a contribution
  damaged[2].signatures[0].key_id[5] ^= 1;
  for (const SignedStatement& statement : damaged) {
    const std::string text = PrintSignedStatement(statement);
    ASSERT_TRUE(ParseSignedStatement(text, "test").ok());
    ASSERT_TRUE(WriteFileDurably(folder_ / "statements/round-000004.signed.json", text).ok());
    EXPECT_EQ(LoadContribution(Context(Encoding::kDeltaBf16), round_).status().code(),
              absl::StatusCode::kDataLoss);
    auto again = FormContribution(Context(Encoding::kDeltaBf16), round_, result_);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->blob, before->blob);
    auto signed_again = ParseSignedStatement(again->signed_statement, "test");
    ASSERT_TRUE(signed_again.ok());
    EXPECT_EQ(signed_again->payload, whole->payload);
    EXPECT_TRUE(Verify(*signed_again, kContributionType, keys, 1).ok());
    EXPECT_TRUE(LoadContribution(Context(Encoding::kDeltaBf16), round_).ok());
  }
}

TEST_F(ContributionTest, SaysWhatTheRunAsksForAndNoMore) {
  round_.mutable_context()->set_fragment(1);
  round_.mutable_context()->set_fragment_count(3);
  result_.set_validation_before(2.5);
  result_.set_validation_after(2.25);
  const auto described = [&](const ContributionContext& context) {
    auto formed = FormContribution(context, round_, result_);
    EXPECT_TRUE(formed.ok()) << formed.status();
    Contribution contribution;
    EXPECT_TRUE(contribution.ParseFromString(
        ParseSignedStatement(formed->signed_statement, "test")->payload));
    return contribution;
  };
  ContributionContext context = Context(Encoding::kDeltaBf16);
  Contribution contribution = described(context);
  EXPECT_EQ(contribution.context().fragment(), 1u);
  EXPECT_EQ(contribution.context().fragment_count(), 3u);
  EXPECT_EQ(contribution.validation_before(), 0);
  EXPECT_EQ(contribution.validation_after(), 0);
  context.with_validation = true;
  contribution = described(context);
  EXPECT_EQ(contribution.validation_before(), 2.5);
  EXPECT_EQ(contribution.validation_after(), 2.25);
  EXPECT_EQ(contribution.primal_residual(), 0);
}

TEST_F(ContributionTest, FormedAgainWithTheSameResidualItHasTheSameBytes) {
  ContributionContext context = Context(Encoding::kDeltaBf16);
  context.residual_kept = 1;
  auto first = FormContribution(context, round_, result_);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(first->residual.has_value());
  round_.set_round(5);
  const KeptVectors kept{.residual = first->residual};
  auto next = FormContribution(context, round_, result_, kept);
  auto again = FormContribution(context, round_, result_, kept);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(next->blob, first->blob);
  EXPECT_EQ(next->blob, again->blob);
  EXPECT_EQ(next->residual, again->residual);
  EXPECT_EQ(next->signed_statement, again->signed_statement);
}

TEST_F(ContributionTest, ADamagedResidualIsLeftOutWithAWarning) {
  ContributionContext context = Context(Encoding::kDeltaBf16);
  context.residual_kept = 1;
  auto without = FormContribution(context, round_, result_);
  ASSERT_TRUE(without.ok()) << without.status();
  std::fstream(own_blobs_->PathOf(*without->residual),
               std::ios::in | std::ios::out | std::ios::binary)
      .seekp(900)
      .put('!');
  ::testing::internal::CaptureStderr();
  auto formed = FormContribution(context, round_, result_, {.residual = without->residual});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("what encodings have lost so far cannot be read"));
  ASSERT_TRUE(formed.ok()) << formed.status();
  EXPECT_EQ(formed->blob, without->blob);
}

TEST_F(ContributionTest, WhatWasFormedBeforeIsSignedAsItIsAlthoughWhatWentIntoItIsLost) {
  ContributionContext context = Context(Encoding::kDeltaBf16);
  context.residual_kept = 1;
  auto first = FormContribution(context, round_, result_);
  const KeptVectors kept{.residual = first->residual, .formed_primal_residual = 0};
  auto before = FormContribution(context, round_, result_, kept);
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_TRUE(own_blobs_->Remove(*first->residual).ok());
  ASSERT_TRUE(site_blobs_->Remove(*DigestFromHex(result_.vector_digest())).ok());
  round_.set_round(6);
  auto again = FormContribution(context, round_, result_,
                                {.formed = before->blob, .formed_primal_residual = 0.5});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->blob, before->blob);
  EXPECT_EQ(again->chunk_sha256s, before->chunk_sha256s);
  Contribution contribution;
  ASSERT_TRUE(
      contribution.ParseFromString(ParseSignedStatement(again->signed_statement, "test")->payload));
  EXPECT_EQ(contribution.round(), 6u);
  EXPECT_EQ(contribution.primal_residual(), 0.5);
  ASSERT_TRUE(own_blobs_->Remove(before->blob).ok());
  EXPECT_FALSE(FormContribution(context, round_, result_, {.formed = before->blob}).ok());
}

TEST_F(ContributionTest, WithADualItSaysHowFarTheVectorIsFromTheConsensus) {
  ContributionContext context = Context(Encoding::kDeltaBf16);
  context.with_dual = true;
  ASSERT_TRUE(KeepVector(context.vectors, base_).ok());
  auto formed = FormContribution(context, round_, result_, {.sent = base_});
  ASSERT_TRUE(formed.ok()) << formed.status();
  EXPECT_TRUE(formed->sent.has_value());
  Contribution contribution;
  ASSERT_TRUE(contribution.ParseFromString(
      ParseSignedStatement(formed->signed_statement, "test")->payload));
  double squares = 0;
  for (size_t i = 0; i < x_.size(); ++i) squares += std::pow(double{x_[i]} - double{z_[i]}, 2);
  EXPECT_NEAR(contribution.primal_residual(), std::sqrt(squares), 1e-9);
}

TEST_F(ContributionTest, WhatTheSiteKeepsIsNotRemoved) {
  ContributionContext context = Context(Encoding::kDeltaBf16);
  context.residual_kept = 1;
  auto formed = FormContribution(context, round_, result_);
  ASSERT_TRUE(formed.ok()) << formed.status();
  ASSERT_TRUE(RemoveContributions(context, 5, {ToHex(*formed->residual)}).ok());
  EXPECT_THAT(own_blobs_->List(), ::testing::ElementsAre(*formed->residual));
}

TEST_F(ContributionTest, OldOnesAreRemoved) {
  ASSERT_TRUE(FormContribution(Context(Encoding::kDeltaBf16), round_, result_).ok());
  ASSERT_TRUE(RemoveContributions(Context(Encoding::kDeltaBf16), 5).ok());
  EXPECT_TRUE(own_blobs_->List().empty());
  EXPECT_FALSE(LoadContribution(Context(Encoding::kDeltaBf16), round_).ok());
}

}  // namespace
}  // namespace weft
