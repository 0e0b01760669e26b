#include "worker/gate/base_fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/gate/coordinator_client_fixture.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

using BaseFetchTest = CoordinatorClientTest;

TEST_F(BaseFetchTest, FetchesTheWholeConsensus) {
  const Digest digest = Offer(Vector(1));
  auto refusal = FetchConsensus(Fetching(), fake_->now, false);
  ASSERT_TRUE(refusal.ok()) << refusal.status();
  EXPECT_TRUE(site_blobs_->Verify(digest).ok());
  EXPECT_EQ(fake_->chunks_pulled, 5);
  // What is there is not fetched again.
  EXPECT_TRUE(FetchConsensus(Fetching(), fake_->now, false).ok());
  EXPECT_EQ(fake_->chunks_pulled, 5);
}

TEST_F(BaseFetchTest, GoesOnWithAFetchThatWasCutOff) {
  std::string blob;
  const Digest digest = Offer(Vector(1), &blob);
  ASSERT_TRUE(WriteFileDurably(absl::StrCat(folder_ / "partial/", ToHex(digest)),
                               blob.substr(0, 3 * kChunkBytes + 99))
                  .ok());
  ASSERT_TRUE(FetchConsensus(Fetching(), fake_->now, false).ok());
  EXPECT_TRUE(site_blobs_->Has(digest));
  EXPECT_EQ(fake_->chunks_pulled, 2);
}

TEST_F(BaseFetchTest, APullOutlivesARestartOfTheCoordinator) {
  const Digest digest = Offer(Vector(1));
  const RoundEvent round = fake_->now;
  absl::StatusOr<Refusal> refusal = absl::UnknownError("not run");
  RestartDuring(3, [&] { refusal = FetchConsensus(Fetching(), round, false); });
  ASSERT_TRUE(refusal.ok()) << refusal.status();
  EXPECT_TRUE(site_blobs_->Verify(digest).ok());
  EXPECT_EQ(fake_->chunks_pulled, 2);  // The three before the restart are not fetched again.
}

TEST_F(BaseFetchTest, ADamagedChunkIsNotTakenAndAskedForAgain) {
  const Digest digest = Offer(Vector(1));
  fake_->damaged_chunks = 1;
  ASSERT_TRUE(FetchConsensus(Fetching(), fake_->now, false).ok());
  EXPECT_TRUE(site_blobs_->Verify(digest).ok());
  EXPECT_GT(fake_->chunks_pulled, 5);
}

TEST_F(BaseFetchTest, ACoordinatorThatOnlySendsDamageIsGivenUp) {
  Offer(Vector(1));
  fake_->damaged_chunks = 1000;
  const absl::Status status = FetchConsensus(Fetching(), fake_->now, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("chunk 0 came damaged"));
  EXPECT_TRUE(site_blobs_->List().empty());
}

TEST_F(BaseFetchTest, AnotherBlobUnderTheRightNameIsRefused) {
  const Digest digest = Offer(Vector(1));
  fake_->blobs[ToBytes(digest)][5000000 - 200300] ^=
      1;  // whole chunks, each with its own right SHA-256
  const absl::Status status = FetchConsensus(Fetching(), fake_->now, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("asked for was"));
}

TEST_F(BaseFetchTest, AConsensusOfAnotherLayoutIsRefused) {
  layout_.fill(8);
  Offer(Vector(1));
  layout_.fill(7);
  EXPECT_THAT(std::string(FetchConsensus(Fetching(), fake_->now, false).status().message()),
              HasSubstr("is of layout"));
}

TEST_F(BaseFetchTest, FollowsByTheDelta) {
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

TEST_F(BaseFetchTest, AnUnknownConsensusIsARefusal) {
  Offer(Vector(1));
  fake_->blobs.clear();
  auto refusal = FetchConsensus(Fetching(), fake_->now, false);
  ASSERT_TRUE(refusal.ok()) << refusal.status();
  EXPECT_EQ(refusal->code(), Refusal::UNKNOWN_BLOB);
}

}  // namespace
}  // namespace weft
