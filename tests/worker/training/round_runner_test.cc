#include "worker/training/round_runner.h"

#include <gtest/gtest.h>

#include <chrono>

namespace weft {
namespace {

using Clock = CheckpointCadence::Clock;
using std::chrono::seconds;

TEST(CheckpointCadenceTest, StepsOrMinutesWhicheverComesFirst) {
  const Clock::time_point start;
  CheckpointCadence cadence(50, 10, start);
  EXPECT_FALSE(cadence.Due(49, start));
  EXPECT_TRUE(cadence.Due(50, start));
  EXPECT_FALSE(cadence.Due(51, start + seconds(599)));
  EXPECT_TRUE(cadence.Due(51, start + seconds(600)));
  cadence.Saved(start + seconds(600));
  EXPECT_FALSE(cadence.Due(52, start + seconds(1199)));
  EXPECT_TRUE(cadence.Due(52, start + seconds(1200)));
  EXPECT_TRUE(cadence.Due(100, start + seconds(601)));
}

TEST(CheckpointCadenceTest, ZeroTurnsEachOff) {
  const Clock::time_point start, late = start + std::chrono::hours(1000);
  EXPECT_FALSE(CheckpointCadence(0, 0, start).Due(50, late));
  EXPECT_TRUE(CheckpointCadence(0, 0.5, start).Due(1, start + seconds(30)));
  EXPECT_FALSE(CheckpointCadence(0, 0.5, start).Due(50, start + seconds(29)));
  EXPECT_FALSE(CheckpointCadence(7, 0, start).Due(8, late));
  EXPECT_TRUE(CheckpointCadence(7, 0, start).Due(14, start));
}

TEST(ShareNotComputingTest, IsOfTheTimeBetweenTwoRoundsEnds) {
  RoundStats stats;
  EXPECT_EQ(ShareNotComputing(stats), 0);
  stats.seconds_training = 9;
  EXPECT_EQ(ShareNotComputing(stats), 0);
  stats.seconds_waiting = 1;
  EXPECT_DOUBLE_EQ(ShareNotComputing(stats), 0.1);
}

}  // namespace
}  // namespace weft
