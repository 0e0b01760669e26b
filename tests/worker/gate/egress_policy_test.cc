#include "worker/gate/egress_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/protobuf/unknown_field_set.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_digest.h"
#include "proto/signed_statement.h"
#include "proto/site.pb.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class EgressPolicyTest : public ::testing::Test {
 protected:
  EgressPolicyTest() {
    layout_.fill(7);
    const std::vector<float> x(300000, 0.5f);  // a chunk and a bit
    blob_ = PrintVectorHeader({.element_count = x.size(), .layout = layout_});
    EXPECT_TRUE(EncodeElements(Encoding::kParametersFp32, x, {}, 0, &blob_).ok());
  }

  // A head for `blob_` as the gate would make it.
  PushMessage Head() {
    BlobHasher hasher;
    hasher.Update(blob_);
    Contribution contribution;
    contribution.mutable_context()->set_run_id("demo");
    contribution.set_site("north");
    contribution.set_round(3);
    contribution.set_layout_digest(ToBytes(layout_));
    contribution.set_blob_digest(ToBytes(hasher.Finish()));
    contribution.set_blob_bytes(blob_.size());
    SignedStatement statement{std::string(kContributionType), contribution.SerializeAsString(), {}};
    PushMessage message;
    message.mutable_head()->mutable_context()->set_run_id("demo");
    message.mutable_head()->set_signed_contribution(PrintSignedStatement(statement));
    for (const Digest& digest : hasher.chunk_digests())
      *message.mutable_head()->mutable_chunk_sha256s() += ToBytes(digest);
    return message;
  }
  PushMessage Chunk(uint32_t number) {
    PushMessage message;
    message.mutable_chunk()->set_number(number);
    message.mutable_chunk()->set_data(blob_.substr(number * kChunkBytes, kChunkBytes));
    message.mutable_chunk()->set_sha256(ToBytes(Sha256(message.chunk().data())));
    return message;
  }
  std::string Refusal(const google::protobuf::Message& message) {
    return std::string(policy_.Check(message).status().message());
  }

  Digest layout_{};
  std::string blob_;
  EgressPolicy policy_{"demo", "north", [] {
                         Digest layout{};
                         layout.fill(7);
                         return layout;
                       }()};
};

TEST_F(EgressPolicyTest, WhatIsNotOnTheListDoesNotLeave) {
  EXPECT_THAT(Refusal(RoundResult()), HasSubstr("weft.RoundResult is not on the list"));
  EXPECT_THAT(Refusal(RoundOrder()), HasSubstr("not on the list"));
  EXPECT_THAT(Refusal(BlobChunk()), HasSubstr("not on the list"));
  EXPECT_THAT(Refusal(RoundReport()), HasSubstr("not on the list"));
}

TEST_F(EgressPolicyTest, LabelsWhatMayLeave) {
  JoinRequest join;
  join.mutable_context()->set_run_id("demo");
  ASSERT_TRUE(policy_.Check(join).ok());
  EXPECT_EQ(policy_.Check(join)->type, "join");
  ReportRequest report;
  report.mutable_report()->mutable_context()->set_run_id("demo");
  report.mutable_report()->set_round(5);
  EXPECT_EQ(policy_.Check(report)->type, "report");
  EXPECT_EQ(policy_.Check(report)->round, 5u);
}

TEST_F(EgressPolicyTest, AnotherRunLongTextsAndUnknownFieldsDoNotLeave) {
  LeaveRequest leave;
  leave.mutable_context()->set_run_id("other");
  EXPECT_THAT(Refusal(leave), HasSubstr("accepted is 'demo'"));
  leave.mutable_context()->set_run_id("demo");
  leave.set_reason(std::string(201, 'x'));
  EXPECT_THAT(Refusal(leave), HasSubstr("longer than 200"));
  leave.set_reason("bye");
  EXPECT_TRUE(policy_.Check(leave).ok());
  leave.mutable_context()
      ->GetReflection()
      ->MutableUnknownFields(leave.mutable_context())
      ->AddLengthDelimited(99, "text");
  EXPECT_THAT(Refusal(leave), HasSubstr("unknown fields"));
}

TEST_F(EgressPolicyTest, TheAnnouncedContributionLeaves) {
  ASSERT_TRUE(policy_.Check(Head()).ok()) << policy_.Check(Head()).status();
  EXPECT_EQ(policy_.Check(Chunk(0))->type, "push-chunk");
  EXPECT_EQ(policy_.Check(Chunk(1))->round, 3u);
}

TEST_F(EgressPolicyTest, ChunksThatWereNotAnnouncedDoNotLeave) {
  EXPECT_THAT(Refusal(Chunk(0)), HasSubstr("not announced"));
  ASSERT_TRUE(policy_.Check(Head()).ok());
  PushMessage other = Chunk(0);
  other.mutable_chunk()->set_number(2);
  EXPECT_THAT(Refusal(other), HasSubstr("not announced"));
  other = Chunk(0);
  other.mutable_chunk()->mutable_data()->at(5000) ^= 1;
  EXPECT_THAT(Refusal(other), HasSubstr("not the one that was announced"));
  other.mutable_chunk()->set_sha256(ToBytes(Sha256(other.chunk().data())));
  EXPECT_THAT(Refusal(other), HasSubstr("not the one that was announced"));
}

TEST_F(EgressPolicyTest, TextInPlaceOfAVectorDoesNotLeave) {
  blob_ = std::string(blob_.size(), 'a');
  ASSERT_TRUE(policy_.Check(Head()).ok());
  EXPECT_THAT(Refusal(Chunk(0)), HasSubstr("not an encoded parameter vector"));
}

TEST_F(EgressPolicyTest, AVectorLongerThanItsHeaderSaysDoesNotLeave) {
  blob_ += "a secret behind the vector";
  ASSERT_TRUE(policy_.Check(Head()).ok());
  EXPECT_THAT(Refusal(Chunk(0)), HasSubstr("does not fit"));
}

TEST_F(EgressPolicyTest, AnotherFragmentThanAnnouncedDoesNotLeave) {
  const std::string elements = blob_.substr(kVectorHeaderBytes);
  blob_ = PrintVectorHeader(
              {.element_count = 300000, .fragment = 1, .fragment_count = 2, .layout = layout_}) +
          elements;
  ASSERT_TRUE(policy_.Check(Head()).ok());
  EXPECT_THAT(Refusal(Chunk(0)), HasSubstr("does not fit"));
}

TEST_F(EgressPolicyTest, AHeadMustAgreeWithItsSignedContribution) {
  PushMessage head = Head();
  head.mutable_head()->mutable_chunk_sha256s()->at(0) ^= 1;
  EXPECT_THAT(Refusal(head), HasSubstr("not those of the signed contribution"));
  head = Head();
  head.mutable_head()->mutable_chunk_sha256s()->resize(32);
  EXPECT_THAT(Refusal(head), HasSubstr("do not cover"));
  head = Head();
  head.mutable_head()->set_signed_contribution("{\"payload\":\"\"}");
  EXPECT_THAT(Refusal(head), HasSubstr("not a signed contribution"));
  layout_.fill(8);
  EXPECT_THAT(Refusal(Head()), HasSubstr("another run, site or layout"));
}

}  // namespace
}  // namespace weft
