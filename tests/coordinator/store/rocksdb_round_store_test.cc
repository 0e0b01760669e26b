#include "coordinator/store/rocksdb_round_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace weft {
namespace {

using ::testing::HasSubstr;
using Mode = RocksDbRoundStore::Mode;

class RocksDbRoundStoreTest : public ::testing::Test {
 protected:
  RocksDbRoundStoreTest()
      : folder_(testing::TempDir() + "/store-" + std::to_string(getpid()) + "-" +
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
  }
  ~RocksDbRoundStoreTest() override { std::filesystem::remove_all(folder_); }

  static RoundState State(uint64_t round) {
    RoundState state;
    state.set_now_unix_ms(1000 + static_cast<int64_t>(round));
    state.mutable_current()->set_round(round);
    return state;
  }
  static Effect Said(const std::string& reason) {
    Decision decision;
    decision.set_reason(reason);
    return Record{decision};
  }
  std::string folder_;
};

TEST_F(RocksDbRoundStoreTest, OneTransitionComesBackWhole) {
  {
    auto store = *RocksDbRoundStore::Open(folder_, Mode::kCreate);
    Receipt receipt;
    receipt.set_site("a");
    receipt.set_base_version(7);
    receipt.set_digest("d");
    SiteReport report;
    report.set_site("a");
    report.mutable_report()->set_round(7);
    RoundRecord round;
    round.set_round(7);
    ASSERT_TRUE(store
                    ->Commit(State(7), {Said("one"), KeepReceipt{receipt}, KeepReport{report},
                                        KeepRound{round}, Announce{}})
                    .ok());
  }
  auto store = *RocksDbRoundStore::Open(folder_, Mode::kServe);
  EXPECT_EQ(store->LoadState()->current().round(), 7);
  EXPECT_EQ((*store->FindReceipt("a", 7, 0))->digest(), "d");
  EXPECT_FALSE(store->FindReceipt("a", 8, 0)->has_value());
  EXPECT_FALSE(store->FindReceipt("b", 7, 0)->has_value());
  EXPECT_EQ(store->Rounds()->at(0).round(), 7);
  EXPECT_EQ(store->Reports()->at(0).site(), "a");
}

TEST_F(RocksDbRoundStoreTest, AuditRecordsFormAChainOverRestarts) {
  {
    auto store = *RocksDbRoundStore::Open(folder_, Mode::kCreate);
    ASSERT_TRUE(store->Commit(State(0), {Said("one"), Said("two")}).ok());
  }
  auto store = *RocksDbRoundStore::Open(folder_, Mode::kServe);
  ASSERT_TRUE(store->Commit(State(1), {Said("three")}).ok());
  const auto all = *store->Audit(100);
  ASSERT_EQ(all.size(), 3);
  EXPECT_EQ(all[0].previous_sha256(), std::string(32, '\0'));
  for (size_t i = 1; i < all.size(); ++i) {
    EXPECT_EQ(all[i].sequence(), i);
    EXPECT_EQ(all[i].previous_sha256(), ToBytes(Sha256(all[i - 1].SerializeAsString())));
  }
  EXPECT_EQ(store->Audit(2)->front().decision().reason(), "two");
}

TEST_F(RocksDbRoundStoreTest, ASecondWriterIsToldWhatHoldsTheDatabase) {
  auto store = *RocksDbRoundStore::Open(folder_, Mode::kCreate);
  const absl::Status status = RocksDbRoundStore::Open(folder_, Mode::kServe).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another process holds this database"));
}

TEST_F(RocksDbRoundStoreTest, AReaderSeesTheStateBesideTheWriter) {
  auto store = *RocksDbRoundStore::Open(folder_, Mode::kCreate);
  ASSERT_TRUE(store->Commit(State(3), {Said("one")}).ok());
  auto reader = RocksDbRoundStore::Open(folder_, Mode::kReadOnly);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->LoadState()->current().round(), 3);
  EXPECT_FALSE((*reader)->Commit(State(4), {}).ok());
}

TEST_F(RocksDbRoundStoreTest, ADamagedDatabaseIsSaidToBeDamaged) {
  { auto store = *RocksDbRoundStore::Open(folder_, Mode::kCreate); }
  std::ofstream(folder_ + "/CURRENT") << "nonsense";
  const absl::Status status = RocksDbRoundStore::Open(folder_, Mode::kServe).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("damaged"));
}

TEST_F(RocksDbRoundStoreTest, NothingIsServedFromAnEmptyFolderAndNothingIsMadeTwice) {
  EXPECT_EQ(RocksDbRoundStore::Open(folder_, Mode::kServe).status().code(),
            absl::StatusCode::kNotFound);
  {
    auto store = *RocksDbRoundStore::Open(folder_, Mode::kCreate);
    EXPECT_EQ(store->LoadState().status().code(), absl::StatusCode::kNotFound);
    ASSERT_TRUE(store->Commit(State(0), {}).ok());
  }
  EXPECT_EQ(RocksDbRoundStore::Open(folder_, Mode::kCreate).status().code(),
            absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace weft
