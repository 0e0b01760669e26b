#include "coordinator/store/contribution_spool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "coordinator/store/contribution_check.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_digest.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

// A vector of 600,000 elements: 2.3 MiB, three chunks, the last one ragged.
constexpr uint64_t kElements = 600000;

class ContributionSpoolTest : public ::testing::Test {
 protected:
  ContributionSpoolTest()
      : folder_(testing::TempDir() + "/spool-" + std::to_string(getpid()) + "-" +
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
    header_.element_count = kElements;
    header_.layout.fill(3);
    base_path_ = folder_ + "/base";
    EXPECT_TRUE(MakeDirectories(folder_).ok());
    EXPECT_TRUE(WriteFileDurably(base_path_, Encode(std::vector<float>(kElements, 1.0f))).ok());
    blob_ = Encode(std::vector<float>(kElements, 1.5f));
    spool_ = *ContributionSpool::Open(folder_ + "/spool");
  }
  ~ContributionSpoolTest() override { std::filesystem::remove_all(folder_); }

  std::string Encode(const std::vector<float>& x) const {
    // Not through EncodeElements, which refuses what a hostile site would send.
    return PrintVectorHeader(header_) +
           std::string(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(float));
  }
  static absl::string_view Chunk(const std::string& blob, uint64_t i) {
    return absl::string_view(blob).substr(i * kChunkBytes, kChunkBytes);
  }
  static SpoolHead Head(const std::string& blob) {
    SpoolHead head;
    std::vector<Digest> digests;
    for (uint64_t i = 0; i < ChunkCount(blob.size()); ++i) {
      digests.push_back(Sha256(Chunk(blob, i)));
      head.mutable_chunk_sha256s()->append(ToBytes(digests.back()));
    }
    head.set_round(4);
    head.set_blob_bytes(blob.size());
    head.set_blob_digest(ToBytes(BlobDigest(blob.size(), digests)));
    return head;
  }
  // The check of a contribution whose bytes are `blob`.
  ContributionCheck Check(const std::string& blob, double norm_max = 0) {
    const std::string path = folder_ + "/contribution";
    EXPECT_TRUE(WriteFileDurably(path, blob).ok());
    auto check = CheckContributionVector(path, header_, base_path_, norm_max);
    EXPECT_TRUE(check.ok()) << check.status();
    return *check;
  }

  std::string folder_, base_path_, blob_;
  VectorHeader header_;
  std::unique_ptr<ContributionSpool> spool_;
};

TEST_F(ContributionSpoolTest, ChunksInAnyOrderBecomeTheBlob) {
  auto spooled = *spool_->Begin("a", Head(blob_));
  EXPECT_EQ(spooled->bitmap(), std::string(1, '\0'));
  for (const uint32_t i : {2, 0, 1}) {
    EXPECT_FALSE(spooled->complete());
    ASSERT_TRUE(spooled->Add(i, Chunk(blob_, i)).ok());
  }
  ASSERT_TRUE(spooled->complete());
  EXPECT_TRUE(spooled->VerifyWhole().ok());
  const BlobDirectory blobs = *BlobDirectory::Open(folder_ + "/blobs");
  ASSERT_TRUE(spooled->MoveTo(blobs).ok());
  EXPECT_TRUE(blobs.Verify(*DigestFromBytes(Head(blob_).blob_digest())).ok());
  EXPECT_TRUE(spool_->Remove("a", spooled).ok());
  EXPECT_EQ(spool_->Find("a", Head(blob_).blob_digest(), 4), nullptr);
}

TEST_F(ContributionSpoolTest, AnotherProcessGoesOnByTheBitmap) {
  {
    auto spooled = *spool_->Begin("a", Head(blob_));
    ASSERT_TRUE(spooled->Add(2, Chunk(blob_, 2)).ok());
    ASSERT_TRUE(spooled->Flush().ok());
    ASSERT_TRUE(spooled->Add(0, Chunk(blob_, 0)).ok());  // not flushed: may be asked for again
  }
  spool_.reset();
  spool_ = *ContributionSpool::Open(folder_ + "/spool");
  auto spooled = spool_->Find("a", Head(blob_).blob_digest(), 4);
  ASSERT_NE(spooled, nullptr);
  EXPECT_EQ(spooled->bitmap(), std::string(1, '\x04'));
  ASSERT_TRUE(spooled->Add(0, Chunk(blob_, 0)).ok());
  ASSERT_TRUE(spooled->Add(1, Chunk(blob_, 1)).ok());
  EXPECT_TRUE(spooled->complete());
  EXPECT_TRUE(spooled->VerifyWhole().ok());
}

TEST_F(ContributionSpoolTest, RefusesWhatIsNotTheChunk) {
  auto spooled = *spool_->Begin("a", Head(blob_));
  std::string corrupted(Chunk(blob_, 1));
  corrupted[77] ^= 1;
  EXPECT_EQ(spooled->Add(1, corrupted).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(spooled->Add(3, Chunk(blob_, 1)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(spooled->Add(2, Chunk(blob_, 1)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(spooled->bitmap(), std::string(1, '\0'));
}

TEST_F(ContributionSpoolTest, ASiteHasOneContributionAtATime) {
  auto first = *spool_->Begin("a", Head(blob_));
  ASSERT_TRUE(first->Add(0, Chunk(blob_, 0)).ok());
  EXPECT_EQ((*spool_->Begin("a", Head(blob_))).get(), first.get());
  const std::string other = Encode(std::vector<float>(kElements, 2.0f));
  auto second = *spool_->Begin("a", Head(other));
  EXPECT_EQ(spool_->Find("a", Head(blob_).blob_digest(), 4), nullptr);
  EXPECT_EQ(second->bitmap(), std::string(1, '\0'));
  // The stream of the first is still open: what it writes goes nowhere.
  ASSERT_TRUE(first->Add(1, Chunk(blob_, 1)).ok());
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(second->Add(i, Chunk(other, i)).ok());
  EXPECT_TRUE(second->VerifyWhole().ok());
}

TEST_F(ContributionSpoolTest, ADiskThatGivesOtherBytesIsNoticed) {
  auto spooled = *spool_->Begin("a", Head(blob_));
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(spooled->Add(i, Chunk(blob_, i)).ok());
  std::fstream file(spooled->data_path(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(1500000);
  file.put('\x7f');
  file.close();
  EXPECT_EQ(spooled->VerifyWhole().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ContributionSpoolTest, TheNormIsOfTheUpdate) {
  const ContributionCheck check = Check(blob_);
  EXPECT_EQ(check.refusal.code(), Refusal::NONE);
  EXPECT_DOUBLE_EQ(check.update_norm, std::sqrt(0.25 * kElements));
  EXPECT_EQ(Check(blob_, 387.0).refusal.code(), Refusal::NORM_TOO_LARGE);
  EXPECT_EQ(Check(blob_, 388.0).refusal.code(), Refusal::NONE);
}

TEST_F(ContributionSpoolTest, RefusesValuesThatAreNotFiniteByTheirNumber) {
  std::vector<float> x(kElements, 1.0f);
  x[kElements - 1] = std::nanf("");
  Refusal refusal = Check(Encode(x)).refusal;
  EXPECT_EQ(refusal.code(), Refusal::NOT_FINITE);
  EXPECT_THAT(refusal.reason(), HasSubstr("element 599999"));
  x[kElements - 1] = 1;
  x[70000] = INFINITY;
  EXPECT_EQ(Check(Encode(x)).refusal.code(), Refusal::NOT_FINITE);
}

TEST_F(ContributionSpoolTest, RefusesAHeaderThatIsNotTheRuns) {
  std::string garbage = blob_;
  garbage[0] = 'X';
  EXPECT_EQ(Check(garbage).refusal.code(), Refusal::MALFORMED);
  std::string other_layout = blob_;
  other_layout[40] ^= 1;
  EXPECT_EQ(Check(other_layout).refusal.code(), Refusal::WRONG_LAYOUT);
  std::string fewer = blob_;
  fewer[16] ^= 1;
  EXPECT_EQ(Check(fewer).refusal.code(), Refusal::MALFORMED);
}

}  // namespace
}  // namespace weft
