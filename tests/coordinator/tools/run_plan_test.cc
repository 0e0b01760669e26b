// The plan's numbers, by hand; and what a folder takes on its disk.
#include "coordinator/tools/run_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

RunManifest Manifest() {
  RunManifest manifest;
  manifest.set_run_id("planned");
  manifest.mutable_encodings()->set_up("delta_bf16");
  manifest.mutable_encodings()->set_down("parameters_fp32");
  manifest.mutable_rounds()->set_round_count(10);
  manifest.mutable_rounds()->set_inner_steps(100);
  manifest.mutable_rounds()->set_sites_to_start(4);
  manifest.mutable_rounds()->set_round_seconds_max(3600);
  manifest.mutable_rounds()->set_publish_every(4);
  return manifest;
}

TEST(RunPlanTest, CountsBytesAndHours) {
  const uint64_t n = 1'000'000;
  const RunPlan plan = MakeRunPlan(Manifest(), n, {.mbit_up = 16, .mbit_down = 32});
  EXPECT_EQ(plan.options.sites, 4);
  EXPECT_EQ(plan.up_bytes, 128 + 2 * n);
  EXPECT_EQ(plan.down_bytes, 128 + 4 * n);
  EXPECT_EQ(plan.site_up_bytes, 10 * plan.up_bytes);
  EXPECT_EQ(plan.site_down_bytes, 11 * plan.down_bytes);
  EXPECT_EQ(plan.coordinator_in_bytes, 40 * plan.up_bytes);
  EXPECT_EQ(plan.coordinator_out_bytes, 44 * plan.down_bytes);
  EXPECT_NEAR(plan.up_hours * 3600, 1, 1e-3);  // 16 Mbit at 16 Mbit/s
  EXPECT_NEAR(plan.down_hours * 3600, 1, 1e-3);
  EXPECT_EQ(plan.release_count, 1 + 3);  // versions 0, 4, 8 and the last
  EXPECT_THAT(plan.warnings, IsEmpty());
}

TEST(RunPlanTest, TheCoordinatorsLinkIsSharedAndALongRoundIsSaid) {
  const RunPlan plan = MakeRunPlan(
      Manifest(), 1'000'000,
      {.sites = 8, .mbit_up = 1000, .coordinator_mbit_down = 16, .seconds_per_step = 50});
  EXPECT_NEAR(plan.up_hours * 3600, 8, 0.01);
  EXPECT_NEAR(plan.training_hours * 3600, 5000, 1e-6);
  ASSERT_EQ(plan.warnings.size(), 1);
  EXPECT_THAT(plan.warnings[0], HasSubstr("round_seconds_max"));
}

TEST(RunPlanTest, WhatIsKeptForAuditorsCostsDisk) {
  const uint64_t n = 1'000'000;
  const RunPlan plain = MakeRunPlan(Manifest(), n, {});
  const RunPlan kept = MakeRunPlan(Manifest(), n, {.keep_contributions = true});
  EXPECT_EQ(kept.coordinator_disk_bytes - plain.coordinator_disk_bytes,
            10 * (4 * plain.up_bytes + plain.vector_bytes));
  RunManifest more = Manifest();
  OuterOptimizer& outer = *more.mutable_consensus()->mutable_outer();
  outer.set_name("sgd");
  outer.set_learning_rate(0.7);
  outer.set_momentum(0.9);
  EXPECT_EQ(MakeRunPlan(more, n, {}).coordinator_disk_bytes - plain.coordinator_disk_bytes,
            2 * plain.vector_bytes);
  outer.set_name("adam");
  outer.set_beta2(0.99);
  outer.set_tau(1e-3);
  EXPECT_EQ(MakeRunPlan(more, n, {}).coordinator_disk_bytes - plain.coordinator_disk_bytes,
            4 * plain.vector_bytes);
}

TEST(RunPlanTest, AFileWithTwoNamesTakesItsRoomOnce) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "one") << std::string(1 << 20, 'x');
  const uint64_t used = DiskUsedBytes(folder.path());
  EXPECT_GE(used, 1 << 20);
  ASSERT_EQ(link((folder / "one").c_str(), (folder / "two").c_str()), 0);
  EXPECT_EQ(DiskUsedBytes(folder.path()), used);
}

}  // namespace
}  // namespace weft
