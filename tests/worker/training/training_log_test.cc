#include "worker/training/training_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "proto/durable_file.h"
#include "tests/worker/training/tiny_site.h"

namespace weft {
namespace {

StepReport Report(uint64_t round, uint64_t step) {
  StepReport report;
  report.round = round;
  report.clock_step = step;
  report.loss = 1.0f / (3 + step);
  report.learning_rate = 0.1 / 3;
  return report;
}

TEST(TrainingLogTest, LossesReadBackToTheSameFloat) {
  TestFolder folder("training_log");
  TrainingLog log = *TrainingLog::Open(folder / "log");
  ASSERT_TRUE(log.Append(Report(0, 4)).ok());
  const nlohmann::json line = nlohmann::json::parse(*ReadWholeFile(folder / "log"));
  EXPECT_EQ(line["loss"].get<float>(), 1.0f / 7);
  EXPECT_EQ(line["learning_rate"].get<double>(), 0.1 / 3);
  EXPECT_EQ(line["step"], 4);
}

TEST(TrainingLogTest, StepsThatAreDoneAgainLoseTheirOldLines) {
  TestFolder folder("training_log_again");
  TrainingLog log = *TrainingLog::Open(folder / "log");
  std::string expected;
  for (uint64_t step = 0; step < 20; ++step) {
    if (step == 13) expected = *ReadWholeFile(folder / "log");
    ASSERT_TRUE(log.Append(Report(step / 10, step)).ok());
  }
  ASSERT_TRUE(log.GoOnFrom(1, 13).ok());
  EXPECT_EQ(*ReadWholeFile(folder / "log"), expected);
  ASSERT_TRUE(log.GoOnFrom(1, 13).ok());
  EXPECT_EQ(*ReadWholeFile(folder / "log"), expected);
}

TEST(TrainingLogTest, ALineThatWasNotFinishedIsCutOff) {
  TestFolder folder("training_log_torn");
  TrainingLog log = *TrainingLog::Open(folder / "log");
  ASSERT_TRUE(log.Append(Report(0, 0)).ok());
  const std::string whole = *ReadWholeFile(folder / "log");
  std::ofstream(folder / "log", std::ios::app) << R"({"round":0,"step":1,"lo)";
  ASSERT_TRUE(log.GoOnFrom(0, 2).ok());
  EXPECT_EQ(*ReadWholeFile(folder / "log"), whole);
}

}  // namespace
}  // namespace weft
