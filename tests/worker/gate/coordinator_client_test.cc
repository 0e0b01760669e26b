#include "worker/gate/coordinator_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <thread>

#include "proto/durable_file.h"
#include "tests/testing/fake_coordinator.h"
#include "tests/testing/temporary_folder.h"
#include "worker/gate/base_fetch.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class CoordinatorClientTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    // By default all of a process's gRPC sockets are polled together, and the fake's threads would
    // finish the client's handshakes. With this each end polls its own, as in two processes.
    setenv("GRPC_POLL_STRATEGY", "poll", 1);
    kits_ = std::make_unique<testing::TemporaryFolder>();
    testing::MakeKits(kits_->path(), {"north", "south"});
  }
  static void TearDownTestSuite() { kits_.reset(); }
  void SetUp() override {
    Serve("coordinator");
    auto ledger = Ledger::Open(folder_ / "ledger.jsonl");
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
    layout_.fill(7);
    options_.backoff_first = absl::Milliseconds(5);
    options_.patience = absl::Seconds(5);
    options_.silence_max = absl::Milliseconds(300);
    options_.chunks_per_call = 2;
    Connect("north");
    fake_->now.mutable_context()->set_run_id("demo");
    fake_->now.set_phase(RoundEvent::FORMING);
    site_blobs_.emplace(*BlobDirectory::Open(folder_ / "site"));
    own_blobs_.emplace(*BlobDirectory::Open(folder_ / "own"));
    ASSERT_TRUE(MakeDirectories(folder_ / "partial").ok());
  }

  Identity IdentityOf(const std::string& name) {
    auto identity = LoadIdentity(*kits_ / name);
    WEFT_CHECK(identity.ok());
    return *identity;
  }
  void Serve(const std::string& name, int port = 0, testing::FakeCoordinator::Kept kept = {}) {
    fake_ = std::make_unique<testing::FakeCoordinator>(IdentityOf(name), port, std::move(kept));
  }
  void Connect(const std::string& kit) {
    client_.reset();
    identity_ = IdentityOf(kit);
    egress_ = *EgressGate::Create({fake_->target(), identity_, "demo", layout_, connect_max_},
                                  ledger_.get());
    client_ = std::make_unique<CoordinatorClient>(egress_.get(), options_, &stop_);
    MessageContext context;
    context.set_run_id("demo");
    context.set_session_id("session");
    client_->SetContext(context);
  }
  JoinRequest Joining() {
    JoinRequest request;
    request.mutable_context()->set_run_id("demo");
    request.set_site("north");
    return request;
  }
  uint64_t Sent(const std::string& type) {
    return ReadLedger(folder_ / "ledger.jsonl")->sent[type].entries;
  }

  // Some chunks of a consensus, served by the fake.
  Digest Offer(const std::vector<float>& z, std::string* blob = nullptr) {
    std::string bytes = PrintVectorHeader({.element_count = z.size(), .layout = layout_});
    WEFT_CHECK(EncodeElements(Encoding::kParametersFp32, z, {}, 0, &bytes).ok());
    const Digest digest = BlobDigest(bytes);
    if (blob != nullptr) *blob = bytes;
    fake_->blobs[ToBytes(digest)] = bytes;
    fake_->now.set_base_digest(ToBytes(digest));
    fake_->now.set_base_bytes(bytes.size());
    return digest;
  }
  std::vector<float> Vector(float scale) {
    std::vector<float> z(1200000);  // five chunks
    for (size_t i = 0; i < z.size(); ++i) z[i] = scale * std::sin(static_cast<float>(i));
    return z;
  }
  BaseFetch Fetching() { return {client_.get(), &*site_blobs_, folder_ / "partial", layout_}; }
  FormedContribution Form(const Digest& base, const std::vector<float>& x) {
    WEFT_CHECK(MakeDirectories(folder_ / "statements").ok());
    RoundResult result;
    result.set_vector_digest(
        ToHex(*WriteVector(*site_blobs_, {.element_count = x.size(), .layout = layout_}, x, {})));
    fake_->now.set_base_digest(ToBytes(base));
    auto formed = FormContribution({.identity = &identity_,
                                    .context = client_->context(),
                                    .vectors = {&*site_blobs_, &*own_blobs_, layout_},
                                    .statement_folder = folder_ / "statements",
                                    .encoding = Encoding::kDeltaBf16},
                                   fake_->now, result);
    WEFT_CHECK(formed.ok());
    return *formed;
  }
  // Lets `transfer` run into the coordinator's end in its middle, keeps the
  // coordinator away for some attempts, and brings it back on its port with what it had on disk.
  void RestartDuring(int chunks, const std::function<void()>& transfer) {
    // The waits between attempts are longer than a connection may take to be made: what gRPC makes
    // by itself while no call drives it has died before the next attempt, as in a long outage.
    connect_max_ = absl::Milliseconds(150);
    options_.backoff_first = options_.backoff_max = absl::Seconds(1);
    options_.patience = absl::Seconds(10);
    Connect("north");
    fake_->stalls_after = chunks;
    std::thread running(transfer);
    const absl::Time end = absl::Now() + absl::Seconds(10);
    while (!fake_->stalled && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_TRUE(fake_->stalled);
    const int port = fake_->port();
    testing::FakeCoordinator::Kept kept{fake_->blobs, fake_->pushed};
    fake_.reset();
    absl::SleepFor(absl::Seconds(1.5));
    Serve("coordinator", port, std::move(kept));
    running.join();
  }
  // The next event, or the error that is not "none yet".
  absl::StatusOr<RoundEvent> Await(absl::Duration within = absl::Seconds(5)) {
    const absl::Time end = absl::Now() + within;
    absl::StatusOr<RoundEvent> event = absl::DeadlineExceededError("");
    while (absl::IsDeadlineExceeded(event.status()) && absl::Now() < end)
      event = client_->NextEvent(absl::Milliseconds(20));
    return event;
  }

  static inline std::unique_ptr<testing::TemporaryFolder> kits_;
  testing::TemporaryFolder folder_;
  std::atomic<bool> stop_{false};
  Digest layout_{};
  ClientOptions options_;
  absl::Duration connect_max_ = absl::Seconds(5);
  Identity identity_;
  std::unique_ptr<testing::FakeCoordinator> fake_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<EgressGate> egress_;
  std::unique_ptr<CoordinatorClient> client_;
  std::optional<BlobDirectory> site_blobs_, own_blobs_;
};

TEST_F(CoordinatorClientTest, TriesAgainAndWritesEveryAttemptIntoTheLedger) {
  fake_->unavailable = 2;
  auto reply = client_->Join(Joining());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->context().session_id(), "session");
  EXPECT_EQ(Sent("join"), 3u);
  EXPECT_EQ(fake_->joins, 1);
}

TEST_F(CoordinatorClientTest, ACallThatAnEndingCoordinatorCancelsIsTriedAgain) {
  fake_->fails_with = grpc::StatusCode::CANCELLED;
  fake_->unavailable = 1;
  EXPECT_TRUE(client_->Join(Joining()).ok());
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

TEST_F(CoordinatorClientTest, FetchesTheWholeConsensus) {
  const Digest digest = Offer(Vector(1));
  auto refusal = FetchConsensus(Fetching(), fake_->now, false);
  ASSERT_TRUE(refusal.ok()) << refusal.status();
  EXPECT_TRUE(site_blobs_->Verify(digest).ok());
  EXPECT_EQ(fake_->chunks_pulled, 5);
  // What is there is not fetched again.
  EXPECT_TRUE(FetchConsensus(Fetching(), fake_->now, false).ok());
  EXPECT_EQ(fake_->chunks_pulled, 5);
}

TEST_F(CoordinatorClientTest, GoesOnWithAFetchThatWasCutOff) {
  std::string blob;
  const Digest digest = Offer(Vector(1), &blob);
  ASSERT_TRUE(WriteFileDurably(absl::StrCat(folder_ / "partial/", ToHex(digest)),
                               blob.substr(0, 3 * kChunkBytes + 99))
                  .ok());
  ASSERT_TRUE(FetchConsensus(Fetching(), fake_->now, false).ok());
  EXPECT_TRUE(site_blobs_->Has(digest));
  EXPECT_EQ(fake_->chunks_pulled, 2);
}

TEST_F(CoordinatorClientTest, APullOutlivesARestartOfTheCoordinator) {
  const Digest digest = Offer(Vector(1));
  const RoundEvent round = fake_->now;
  absl::StatusOr<Refusal> refusal = absl::UnknownError("not run");
  RestartDuring(3, [&] { refusal = FetchConsensus(Fetching(), round, false); });
  ASSERT_TRUE(refusal.ok()) << refusal.status();
  EXPECT_TRUE(site_blobs_->Verify(digest).ok());
  EXPECT_EQ(fake_->chunks_pulled, 2);  // The three before the restart are not fetched again.
}

TEST_F(CoordinatorClientTest, ADamagedChunkIsNotTakenAndAskedForAgain) {
  const Digest digest = Offer(Vector(1));
  fake_->damaged_chunks = 1;
  ASSERT_TRUE(FetchConsensus(Fetching(), fake_->now, false).ok());
  EXPECT_TRUE(site_blobs_->Verify(digest).ok());
  EXPECT_GT(fake_->chunks_pulled, 5);
}

TEST_F(CoordinatorClientTest, ACoordinatorThatOnlySendsDamageIsGivenUp) {
  Offer(Vector(1));
  fake_->damaged_chunks = 1000;
  const absl::Status status = FetchConsensus(Fetching(), fake_->now, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("chunk 0 came damaged"));
  EXPECT_TRUE(site_blobs_->List().empty());
}

TEST_F(CoordinatorClientTest, AnotherBlobUnderTheRightNameIsRefused) {
  const Digest digest = Offer(Vector(1));
  fake_->blobs[ToBytes(digest)][5000000 - 200300] ^=
      1;  // whole chunks, each with its own right SHA-256
  const absl::Status status = FetchConsensus(Fetching(), fake_->now, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("asked for was"));
}

TEST_F(CoordinatorClientTest, AConsensusOfAnotherLayoutIsRefused) {
  layout_.fill(8);
  Offer(Vector(1));
  layout_.fill(7);
  EXPECT_THAT(std::string(FetchConsensus(Fetching(), fake_->now, false).status().message()),
              HasSubstr("is of layout"));
}

TEST_F(CoordinatorClientTest, FollowsByTheDelta) {
  const std::vector<float> z = Vector(1), target = Vector(1.01f);
  const Digest base =
      *WriteVector(*site_blobs_, {.element_count = z.size(), .layout = layout_}, z, {});
  const VectorHeader header{
      .encoding = Encoding::kDeltaBf16, .element_count = z.size(), .layout = layout_, .base = base};
  std::string delta = PrintVectorHeader(header), elements;
  ASSERT_TRUE(EncodeElements(Encoding::kDeltaBf16, target, z, 0, &elements).ok());
  std::vector<float> next(z.size());
  ASSERT_TRUE(DecodeElements(Encoding::kDeltaBf16, elements, z, 0, absl::MakeSpan(next)).ok());
  delta += elements;
  const Digest digest = Offer(next);
  fake_->blobs[ToBytes(BlobDigest(delta))] = delta;
  fake_->now.set_delta_digest(ToBytes(BlobDigest(delta)));
  fake_->now.set_delta_bytes(delta.size());
  fake_->now.set_delta_base_digest(ToBytes(base));

  ASSERT_TRUE(FetchConsensus(Fetching(), fake_->now, true).ok());
  EXPECT_TRUE(site_blobs_->Verify(digest).ok());
  EXPECT_EQ(fake_->pulls.count(ToBytes(digest)), 0u);
  EXPECT_EQ(fake_->chunks_pulled, 3);

  // A delta that does not lead there, or is not to be had: the whole.
  ASSERT_TRUE(site_blobs_->Remove(digest).ok());
  fake_->blobs.erase(fake_->now.delta_digest());
  ASSERT_TRUE(FetchConsensus(Fetching(), fake_->now, true).ok());
  EXPECT_TRUE(site_blobs_->Verify(digest).ok());
  EXPECT_GE(fake_->pulls[ToBytes(digest)], 1);
}

TEST_F(CoordinatorClientTest, AnUnknownConsensusIsARefusal) {
  Offer(Vector(1));
  fake_->blobs.clear();
  auto refusal = FetchConsensus(Fetching(), fake_->now, false);
  ASSERT_TRUE(refusal.ok()) << refusal.status();
  EXPECT_EQ(refusal->code(), Refusal::UNKNOWN_BLOB);
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
