#include "worker/gate/worker_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "proto/durable_file.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

template <typename Condition>
bool Within(absl::Duration time, Condition condition) {
  for (const absl::Time end = absl::Now() + time; absl::Now() < end;
       absl::SleepFor(absl::Milliseconds(2))) {
    if (condition()) return true;
  }
  return condition();
}

class WorkerProcessTest : public ::testing::Test {
 protected:
  // A shell script in place of a worker; it finds the folder in $1.
  std::vector<std::string> Script(const std::string& script) {
    return {"/bin/sh", "-c", script, "sh", folder_.path()};
  }
  size_t Starts() {
    const auto text = ReadWholeFile(folder_ / "starts");
    return text.ok() ? text->size() : 0;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(WorkerProcessTest, StartsAgainWhatDiesUntilItDiesTooOften) {
  WorkerProcess worker(Script("printf x >> $1/starts; exit 3"), absl::Milliseconds(1));
  ASSERT_TRUE(worker.Start().ok());
  std::optional<std::string> gone;
  ASSERT_TRUE(Within(absl::Seconds(20), [&] { return (gone = worker.Poll()).has_value(); }));
  EXPECT_THAT(*gone, HasSubstr("6 times in a row, at last by exit code 3"));
  EXPECT_EQ(Starts(), 6u);
}

TEST_F(WorkerProcessTest, WorkThatWasDoneForgivesDeaths) {
  WorkerProcess worker(Script("printf x >> $1/starts; kill -9 $$"), absl::Milliseconds(1));
  ASSERT_TRUE(worker.Start().ok());
  ASSERT_TRUE(Within(absl::Seconds(20), [&] {
    worker.ForgiveDeaths();
    EXPECT_FALSE(worker.Poll().has_value());
    return Starts() >= 9;
  }));
}

TEST_F(WorkerProcessTest, AProgramThatIsNotThereIsSaidSo) {
  WorkerProcess worker({folder_ / "no-such-program"}, absl::Milliseconds(1));
  ASSERT_TRUE(worker.Start().ok());
  std::optional<std::string> gone;
  ASSERT_TRUE(Within(absl::Seconds(20), [&] { return (gone = worker.Poll()).has_value(); }));
  EXPECT_THAT(*gone, HasSubstr("cannot be executed"));
}

TEST_F(WorkerProcessTest, EndsByItselfWithinItsGraceOrBySignal) {
  WorkerProcess patient(Script("sleep 0.1; printf done > $1/starts"));
  ASSERT_TRUE(patient.Start().ok());
  patient.End(absl::Seconds(20));
  EXPECT_FALSE(patient.running());
  EXPECT_EQ(Starts(), 4u);

  WorkerProcess hanging(Script("exec sleep 100"));
  ASSERT_TRUE(hanging.Start().ok());
  const absl::Time began = absl::Now();
  hanging.End(absl::Milliseconds(50));
  EXPECT_FALSE(hanging.running());
  EXPECT_LT(absl::Now() - began, absl::Seconds(8));
}

TEST_F(WorkerProcessTest, ACommandIsRunByTheShellAndItsFailureReported) {
  CommandRunner runner;
  ASSERT_TRUE(runner.Run("printf x > " + (folder_ / "starts") + "; exit 7").ok());
  std::optional<std::string> why;
  ASSERT_TRUE(Within(absl::Seconds(20), [&] { return (why = runner.Poll()).has_value(); }));
  EXPECT_THAT(*why, HasSubstr("exit code 7"));
  EXPECT_EQ(Starts(), 1u);
  EXPECT_FALSE(runner.running());
}

}  // namespace
}  // namespace weft
