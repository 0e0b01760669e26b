#include "worker/site/site_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "proto/digest.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class SiteDirectoryTest : public ::testing::Test {
 protected:
  SiteDirectoryTest() {
    folder_ = ::testing::TempDir() + "site_" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name() + "_" +
              std::to_string(getpid());
    std::filesystem::remove_all(folder_);
    site_ = std::make_unique<SiteDirectory>(*SiteDirectory::Open(folder_));
  }
  ~SiteDirectoryTest() override { std::filesystem::remove_all(folder_); }

  RoundOrder Order(uint64_t round, const std::string& base) {
    RoundOrder order;
    order.set_round(round);
    order.set_run_id("run");
    order.set_base_digest(base);
    return order;
  }
  RoundResult Result(uint64_t round, const std::string& base, const std::string& vector) {
    RoundResult result;
    result.set_round(round);
    result.set_base_digest(base);
    result.set_vector_digest(vector);
    return result;
  }
  std::string Vector(float value) {
    return ToHex(*site_->WriteVector(layout_, std::vector<float>(10, value)));
  }
  bool Has(const std::string& hex) { return site_->blobs().Has(*DigestFromHex(hex)); }

  std::string folder_;
  Digest layout_ = Sha256("layout");
  std::unique_ptr<SiteDirectory> site_;
};

TEST_F(SiteDirectoryTest, TheNewestOrderIsTheOneOfTheHighestRound) {
  EXPECT_FALSE(site_->NewestOrder()->has_value());
  for (uint64_t round : {9, 1000000, 10}) ASSERT_TRUE(site_->WriteOrder(Order(round, "ab")).ok());
  // What is not an order's final name is not an order.
  std::ofstream(folder_ + "/orders/round-2000000.textproto.tmp") << "round: 2000000";
  std::ofstream(folder_ + "/orders/round-3000000x.textproto") << "round: 3000000";
  EXPECT_EQ((*site_->NewestOrder())->round(), 1000000);
}

TEST_F(SiteDirectoryTest, ADamagedOrderIsDataLossWithItsPath) {
  ASSERT_TRUE(site_->WriteOrder(Order(3, "ab")).ok());
  const std::string path = folder_ + "/orders/round-000003.textproto";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 3);
  const absl::Status status = site_->NewestOrder().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
}

TEST_F(SiteDirectoryTest, AnOrderUnderAnotherRoundsNameIsRefused) {
  ASSERT_TRUE(site_->WriteOrder(Order(3, "ab")).ok());
  std::filesystem::rename(folder_ + "/orders/round-000003.textproto",
                          folder_ + "/orders/round-000004.textproto");
  EXPECT_THAT(std::string(site_->NewestOrder().status().message()), HasSubstr("speaks of round 3"));
}

TEST_F(SiteDirectoryTest, ResultsAndProgressComeBack) {
  EXPECT_FALSE(site_->ResultOf(7)->has_value());
  ASSERT_TRUE(site_->WriteResult(Result(7, "ab", "cd")).ok());
  EXPECT_EQ((*site_->ResultOf(7))->vector_digest(), "cd");
  EXPECT_FALSE(site_->Progress()->has_value());
  WorkerProgress progress;
  progress.set_loss(2.5);
  ASSERT_TRUE(site_->WriteProgress(progress).ok());
  EXPECT_EQ((*site_->Progress())->loss(), 2.5);
}

TEST_F(SiteDirectoryTest, AVectorIsCheckedWhenItIsRead) {
  const std::vector<float> vector = {1, 2.5f, -3};
  const Digest digest = *site_->WriteVector(layout_, vector);
  absl::StatusOr<ParameterVector> read = site_->ReadVector(digest, layout_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(std::vector<float>(read->data(), read->data() + read->size()), vector);

  EXPECT_EQ(site_->ReadVector(digest, Sha256("another")).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(site_->ReadVector(Sha256("none"), layout_).status().code(),
            absl::StatusCode::kNotFound);

  const std::string path = site_->blobs().PathOf(digest);
  std::filesystem::permissions(path, std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  file.put('\x7f');
  file.close();
  EXPECT_EQ(site_->ReadVector(digest, layout_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SiteDirectoryTest, AFragmentIsReadAsTheOneThatItIs) {
  const FragmentOf of{.element_count = 600, .fragment_count = 2, .fragment = 1};
  std::vector<float> elements(600 - 256);
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<float>(i);
  const Digest digest = *site_->WriteFragment(layout_, of, elements);
  absl::StatusOr<ParameterVector> read = site_->ReadFragment(digest, layout_, of);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(std::vector<float>(read->data(), read->data() + read->size()), elements);

  for (const FragmentOf& other :
       {FragmentOf{600, 2, 0}, FragmentOf{600, 3, 1}, FragmentOf{700, 2, 1}}) {
    EXPECT_EQ(site_->ReadFragment(digest, layout_, other).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(std::string(site_->ReadVector(digest, layout_).status().message()),
              HasSubstr("is fragment 1 of 2"));
  EXPECT_EQ(site_->ReadFragment(digest, Sha256("another"), of).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(SiteDirectoryTest, KeepsTheAnchorAndTheFragmentsThatALaterOrderNames) {
  const std::string old_fragment = Vector(0), fragment = Vector(1), old_anchor = Vector(2),
                    anchor = Vector(3);
  RoundOrder order = Order(0, old_fragment);
  order.add_fragment_digests(old_fragment);
  order.add_fragment_digests(fragment);
  order.set_anchor_digest(old_anchor);
  ASSERT_TRUE(site_->WriteOrder(order).ok());
  order.set_round(1);
  order.set_fragment_digests(0, Vector(4));
  order.set_base_digest(order.fragment_digests(0));
  order.set_anchor_digest(anchor);
  ASSERT_TRUE(site_->WriteOrder(order).ok());
  ASSERT_TRUE(site_->RemoveBefore(1, {}).ok());
  EXPECT_FALSE(Has(old_fragment));
  EXPECT_FALSE(Has(old_anchor));
  EXPECT_TRUE(Has(fragment)) << "unchanged, and so of round 1 too";
  EXPECT_TRUE(Has(anchor));
}

TEST_F(SiteDirectoryTest, StopCarriesItsReasonUntilItIsCleared) {
  EXPECT_FALSE(site_->StopReason().has_value());
  ASSERT_TRUE(site_->Stop("all rounds are done").ok());
  EXPECT_EQ(site_->StopReason(), "all rounds are done");
  ASSERT_TRUE(site_->ClearStop().ok());
  EXPECT_FALSE(site_->StopReason().has_value());
  EXPECT_TRUE(site_->ClearStop().ok());
}

TEST_F(SiteDirectoryTest, TheLockNamesItsHolderAndEndsWithItsProcess) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto lock = site_->AcquireWorkerLock();
    char yes = lock.ok() ? 'y' : 'n';
    if (write(ready[1], &yes, 1) == 1) pause();
    _exit(0);
  }
  char held = 'n';
  ASSERT_EQ(read(ready[0], &held, 1), 1);
  ASSERT_EQ(held, 'y');

  const absl::Status refused = site_->AcquireWorkerLock().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(std::to_string(child) + "@"));

  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(site_->AcquireWorkerLock().ok());
  close(ready[0]);
  close(ready[1]);
}

TEST_F(SiteDirectoryTest, RemovesWhatNoLaterRoundNeeds) {
  const std::string z0 = Vector(0), x0 = Vector(1), z1 = Vector(2), x1 = Vector(3);
  const std::string unnamed = Vector(4);
  ASSERT_TRUE(site_->WriteOrder(Order(0, z0)).ok());
  ASSERT_TRUE(site_->WriteResult(Result(0, z0, x0)).ok());
  ASSERT_TRUE(site_->WriteOrder(Order(1, z0)).ok());  // round 0 was abandoned: the same base again
  ASSERT_TRUE(site_->WriteResult(Result(1, z0, x1)).ok());
  ASSERT_TRUE(site_->WriteOrder(Order(2, z1)).ok());

  ASSERT_TRUE(site_->RemoveBefore(1, {}).ok());
  EXPECT_TRUE(Has(z0)) << "round 1 starts from it";
  EXPECT_FALSE(Has(x0));
  EXPECT_FALSE(site_->ResultOf(0)->has_value());
  EXPECT_TRUE(site_->ResultOf(1)->has_value());

  ASSERT_TRUE(site_->RemoveBefore(2, {x1}).ok());
  EXPECT_FALSE(Has(z0));
  EXPECT_TRUE(Has(x1)) << "asked to be kept";
  EXPECT_TRUE(Has(z1));
  EXPECT_TRUE(Has(unnamed)) << "it may be about to be named";
  EXPECT_EQ((*site_->NewestOrder())->round(), 2);
}

}  // namespace
}  // namespace weft
