#include "worker/gate/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "proto/durable_file.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class LedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto ledger = Ledger::Open(path_);
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    ASSERT_TRUE((*ledger)->AppendRecord("manifest-accepted", "demo", 0, "digest 12").ok());
    ASSERT_TRUE((*ledger)->AppendSent("join", "demo", 0, "abc", "").ok());
    ASSERT_TRUE((*ledger)->AppendSent("push-chunk", "demo", 1, "defgh", "chunk 0").ok());
    ASSERT_TRUE((*ledger)->AppendSent("push-chunk", "demo", 1, "ij", "chunk 1").ok());
  }
  std::string Read() { return *ReadWholeFile(path_); }
  void Write(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }
  absl::Status Verify() { return ReadLedger(path_).status(); }

  testing::TemporaryFolder folder_;
  std::string path_ = folder_ / "ledger.jsonl";
};

TEST_F(LedgerTest, CountsWhatLeftByType) {
  auto totals = ReadLedger(path_);
  ASSERT_TRUE(totals.ok()) << totals.status();
  EXPECT_EQ(totals->entries, 4u);
  EXPECT_EQ(totals->sent_bytes, 10u);
  EXPECT_EQ(totals->sent.at("push-chunk").bytes, 7u);
  EXPECT_EQ(totals->sent.at("push-chunk").entries, 2u);
  EXPECT_EQ(totals->sent.count("manifest-accepted"), 0u);
}

TEST_F(LedgerTest, NamesTheBytesByTheirSha256) {
  std::string sha256;
  ASSERT_TRUE(ReadLedger(path_, [&](const LedgerEntry& e) {
                if (e.type == "join") sha256 = e.sha256;
              }).ok());
  EXPECT_EQ(
      sha256,
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-4, "abc"
}

TEST_F(LedgerTest, GoesOnWhereItStopped) {
  {
    auto ledger = Ledger::Open(path_);
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    ASSERT_TRUE((*ledger)->AppendSent("leave", "demo", 2, "x", "bye").ok());
  }
  auto totals = ReadLedger(path_);
  ASSERT_TRUE(totals.ok()) << totals.status();
  EXPECT_EQ(totals->entries, 5u);
}

TEST_F(LedgerTest, EveryChangedByteIsFound) {
  const std::string whole = Read();
  for (size_t i = 0; i < whole.size(); i += 3) {
    if (i + 1 == whole.size()) continue;  // The last newline alone: a torn line, below.
    std::string edited = whole;
    edited[i] = edited[i] == '0' ? '1' : '0';
    Write(edited);
    ASSERT_FALSE(Verify().ok()) << "byte " << i << " was changed unnoticed";
  }
}

TEST_F(LedgerTest, RemovedAndSwappedLinesAreFound) {
  const std::string whole = Read();
  const size_t first = whole.find('\n') + 1, second = whole.find('\n', first) + 1;
  Write(whole.substr(first));
  EXPECT_THAT(Verify().ToString(), HasSubstr(":1: sequence 1, expected 0"));
  Write(whole.substr(0, first) + whole.substr(second));
  EXPECT_THAT(Verify().ToString(), HasSubstr(":2: sequence 2, expected 1"));
}

TEST_F(LedgerTest, RefusesToGoOnWithAnEditedLedger) {
  std::string edited = Read();
  edited.replace(edited.find("join"), 4, "JOIN");
  Write(edited);
  EXPECT_EQ(Ledger::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(LedgerTest, TornLastLineIsRemovedAndNoted) {
  const std::string whole = Read();
  for (size_t cut : {whole.size() - 1, whole.size() - 40, whole.rfind("{\"version\"") + 1}) {
    Write(whole.substr(0, cut));
    EXPECT_TRUE(ReadLedger(path_)->torn);
    ASSERT_TRUE(Ledger::Open(path_).ok());
    std::string last, note;
    auto totals = ReadLedger(path_, [&](const LedgerEntry& e) { last = e.type, note = e.note; });
    ASSERT_TRUE(totals.ok()) << totals.status();
    EXPECT_FALSE(totals->torn);
    EXPECT_EQ(last, "torn-line-removed");
    EXPECT_THAT(note, HasSubstr("bytes of a line"));
    EXPECT_EQ(totals->entries, 4u);
  }
}

TEST_F(LedgerTest, TwoProgramsWriteOneChain) {
  auto gate = Ledger::Open(path_), doctor = Ledger::Open(path_);
  ASSERT_TRUE(gate.ok() && doctor.ok());
  std::vector<std::thread> writers;
  for (Ledger* ledger : {gate->get(), doctor->get()}) {
    writers.emplace_back([ledger] {
      for (int i = 0; i < 50; ++i)
        ASSERT_TRUE(ledger->AppendSent("join", "demo", 0, "abc", "").ok());
    });
  }
  for (std::thread& writer : writers) writer.join();
  auto totals = ReadLedger(path_);
  ASSERT_TRUE(totals.ok()) << totals.status();
  EXPECT_EQ(totals->entries, 104u);
}

// One that died in the middle of a line, or edited it, beside one that goes on.
TEST_F(LedgerTest, WhatAnotherProgramLeftIsChecked) {
  auto ledger = Ledger::Open(path_);
  ASSERT_TRUE(ledger.ok());
  std::ofstream(path_, std::ios::binary | std::ios::app) << "{\"version\":1,\"seq";
  ASSERT_TRUE((*ledger)->AppendSent("join", "demo", 0, "abc", "").ok());
  std::vector<std::string> types;
  auto totals = ReadLedger(path_, [&](const LedgerEntry& e) { types.push_back(e.type); });
  ASSERT_TRUE(totals.ok()) << totals.status();
  ASSERT_EQ(types.size(), 6u);
  EXPECT_EQ(types[4], "torn-line-removed");

  std::ofstream(path_, std::ios::binary | std::ios::app) << "{\"version\":1}\n";
  EXPECT_EQ((*ledger)->AppendSent("join", "demo", 0, "abc", "").code(),
            absl::StatusCode::kDataLoss);
  Write("");
  EXPECT_THAT((*ledger)->AppendSent("join", "demo", 0, "abc", "").ToString(), HasSubstr("was cut"));
}

TEST_F(LedgerTest, NotesMayHoldAnyBytes) {
  {
    auto ledger = Ledger::Open(path_);
    ASSERT_TRUE((*ledger)->AppendRecord("odd", "demo", 0, "quote\" newline\n bad \xff end").ok());
    ASSERT_TRUE((*ledger)->AppendRecord("after", "demo", 0, "").ok());
  }
  EXPECT_TRUE(Verify().ok()) << Verify();
}

TEST_F(LedgerTest, SaysThatThereIsNone) {
  EXPECT_EQ(ReadLedger(folder_ / "nothing").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace weft
