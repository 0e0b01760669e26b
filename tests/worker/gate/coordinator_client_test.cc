#include "worker/gate/coordinator_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/gate/coordinator_client_fixture.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

TEST_F(CoordinatorClientTest, TriesAgainAndWritesEveryAttemptIntoTheLedger) {
  fake_->unavailable = 2;
  auto reply = client_->Join(Joining());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->context().session_id(), "session");
  EXPECT_EQ(Sent("join"), 3u);
  EXPECT_EQ(fake_->joins, 1);
}

// What a coordinator that is ended in the middle of a call leaves of it.
TEST_F(CoordinatorClientTest, ACancelledCallIsTriedAgain) {
  fake_->fails_with = grpc::StatusCode::CANCELLED;
  fake_->unavailable = 1;
  EXPECT_TRUE(client_->Join(Joining()).ok());
  fake_->unavailable = 1;
  stop_ = true;  // then it was this gate's own end
  EXPECT_EQ(client_->Join(Joining()).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(fake_->joins, 1);
}

TEST_F(CoordinatorClientTest, ARefusalIsAnAnswerAndNotTriedAgain) {
  fake_->refuse = Refusal::REVOKED;
  auto reply = client_->Join(Joining());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->refusal().code(), Refusal::REVOKED);
  EXPECT_EQ(reply->refusal().reason(), "the fake says no");
  EXPECT_EQ(Sent("join"), 1u);
}

TEST_F(CoordinatorClientTest, GivesUpAfterItsPatience) {
  options_.patience = absl::Milliseconds(100);
  Connect("north");
  fake_->unavailable = 1000;
  const absl::Status status = client_->Join(Joining()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("a hiccup; given up after 100ms"));
}

TEST_F(CoordinatorClientTest, NothingListensIsSaidSo) {
  options_.patience = absl::Milliseconds(50);
  Connect("north");
  fake_.reset();
  EXPECT_THAT(std::string(client_->Join(Joining()).status().message()),
              HasSubstr("is the coordinator running"));
}

TEST_F(CoordinatorClientTest, AnotherAuthorityIsRefusedWithLikelyCauses) {
  testing::MakeKits(*kits_ / "elsewhere", {"north"});
  options_.patience = absl::Milliseconds(50);
  Connect("elsewhere/north");
  const std::string words(client_->Join(Joining()).status().message());
  EXPECT_THAT(words, HasSubstr("not of the same run authority"));
  EXPECT_THAT(words, HasSubstr("expired"));
  EXPECT_EQ(fake_->joins, 0);
}

TEST_F(CoordinatorClientTest, ASiteCannotPoseAsTheCoordinator) {
  options_.patience = absl::Milliseconds(50);
  Serve("south");
  Connect("north");
  EXPECT_THAT(std::string(client_->Join(Joining()).status().message()),
              HasSubstr("does not name this host"));
  EXPECT_EQ(fake_->joins, 0);
}

TEST_F(CoordinatorClientTest, NothingLeavesThatTheLedgerCannotHold) {
  JoinRequest other = Joining();
  other.mutable_context()->set_run_id("other");
  EXPECT_EQ(client_->Join(other).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Sent("join"), 0u);
  EXPECT_EQ(fake_->joins, 0);
}

TEST_F(CoordinatorClientTest, ASilentWatchIsOpenedAgain) {
  fake_->heartbeats = 1;
  ASSERT_TRUE(Await().ok());
  const absl::Status lost = Await().status();
  EXPECT_TRUE(absl::IsUnavailable(lost)) << lost;
  EXPECT_THAT(std::string(lost.message()), HasSubstr("no heartbeat for 300ms"));
  EXPECT_TRUE(Await().ok());
  EXPECT_EQ(fake_->watches, 2);
}

TEST_F(CoordinatorClientTest, AWatchOutlivesARestartOfTheCoordinator) {
  ASSERT_TRUE(Await().ok());
  const int port = fake_->port();
  fake_.reset();
  absl::StatusOr<RoundEvent> event = Await();
  while (event.ok()) event = Await();
  EXPECT_TRUE(absl::IsUnavailable(event.status())) << event.status();
  Serve("coordinator", port);
  const absl::Time end = absl::Now() + absl::Seconds(10);
  while (!event.ok() && absl::Now() < end) event = Await();
  EXPECT_TRUE(event.ok()) << event.status();
}

TEST_F(CoordinatorClientTest, PushesWhatIsMissingAndNothingTwice) {
  const std::vector<float> z = Vector(1);
  const Digest base =
      *WriteVector(*site_blobs_, {.element_count = z.size(), .layout = layout_}, z, {});
  const FormedContribution formed = Form(base, Vector(1.02f));
  ASSERT_EQ(ChunkCount(formed.blob_bytes), 3u);
  fake_->push_breaks_after = 1;
  auto reply = client_->Push(formed, own_blobs_->PathOf(formed.blob));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->stored());
  EXPECT_EQ(reply->receipt_digest(), ToBytes(formed.blob));
  EXPECT_EQ(fake_->chunks_pushed, 3);
  std::string arrived;
  for (const auto& [number, data] : fake_->pushed) arrived += data;
  EXPECT_EQ(BlobDigest(arrived), formed.blob);
  EXPECT_EQ(fake_->announced, formed.signed_statement);
  // Once more, as after a restart: one question, no chunk.
  const uint64_t chunks_before = Sent("push-chunk");
  ASSERT_TRUE(client_->Push(formed, own_blobs_->PathOf(formed.blob)).ok());
  EXPECT_EQ(Sent("push-chunk"), chunks_before);
}

TEST_F(CoordinatorClientTest, APushOutlivesARestartOfTheCoordinator) {
  const std::vector<float> z = Vector(1);
  const Digest base =
      *WriteVector(*site_blobs_, {.element_count = z.size(), .layout = layout_}, z, {});
  const FormedContribution formed = Form(base, Vector(1.02f));
  absl::StatusOr<PushReply> reply = absl::UnknownError("not run");
  RestartDuring(2, [&] { reply = client_->Push(formed, own_blobs_->PathOf(formed.blob)); });
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->stored());
  EXPECT_EQ(fake_->stored, ToBytes(formed.blob));
  EXPECT_EQ(fake_->chunks_pushed, 1);  // The two before the restart are not sent again.
}

TEST_F(CoordinatorClientTest, ARefusedPushIsAnAnswer) {
  const std::vector<float> z = Vector(1);
  const Digest base =
      *WriteVector(*site_blobs_, {.element_count = z.size(), .layout = layout_}, z, {});
  const FormedContribution formed = Form(base, z);
  fake_->refuse = Refusal::NORM_TOO_LARGE;
  auto reply = client_->Push(formed, own_blobs_->PathOf(formed.blob));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->refusal().code(), Refusal::NORM_TOO_LARGE);
  EXPECT_EQ(Sent("push-chunk"), 0u);
}

}  // namespace
}  // namespace weft
