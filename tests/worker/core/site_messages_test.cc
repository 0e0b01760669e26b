#include "worker/core/site_messages.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace weft::site {
namespace {

RunManifest Manifest() {
  RunManifest manifest;
  manifest.set_run_id("demo");
  manifest.set_seed(5);
  manifest.mutable_rounds()->set_round_count(10);
  manifest.mutable_rounds()->set_inner_steps(20);
  return manifest;
}

RoundEvent Round() {
  RoundEvent round;
  round.set_round(6);
  round.set_reopened(2);
  round.mutable_context()->set_base_version(3);
  round.set_base_digest(std::string(32, 'z'));
  round.set_inner_steps(20);
  round.set_first_step(80);
  round.set_rho(0.25);
  return round;
}

TEST(MakeOrderTest, SaysTheWorkOfTheRound) {
  GateState state;
  state.set_anchor_digest("abc");
  const RoundOrder order = MakeOrder(Manifest(), "alba", state, Round());
  EXPECT_EQ(order.round(), 4) << "its work, not the number it was opened under again";
  EXPECT_EQ(order.base_version(), 3);
  EXPECT_EQ(order.base_digest(), absl::BytesToHexString(std::string(32, 'z')));
  EXPECT_EQ(order.site(), "alba");
  EXPECT_EQ(order.seed(), 5);
  EXPECT_EQ(order.inner_steps(), 20);
  EXPECT_EQ(order.first_step(), 80);
  EXPECT_EQ(order.total_steps(), 200);
  EXPECT_EQ(order.anchor_digest(), "abc");
  EXPECT_EQ(order.rho(), 0.25);
}

TEST(MakeOrderTest, WithoutABarrierASiteHasAPlaceOfItsOwnInItsData) {
  RunManifest manifest = Manifest();
  GateState state;
  state.set_work_count(3);
  EXPECT_EQ(MakeOrder(manifest, "alba", state, Round()).first_sample_step(), 80);
  manifest.mutable_consensus()->set_asynchrony("delayed");
  EXPECT_EQ(MakeOrder(manifest, "alba", state, Round()).first_sample_step(), 60);
}

TEST(MakeReportTest, SaysWhatTheWorkerMeasured) {
  RoundResult result;
  result.set_first_loss(3);
  result.set_last_loss(2);
  result.set_inner_steps(19);
  result.set_seconds_training(9);
  result.set_seconds_waiting(1);
  const RoundReport report = MakeReport(Round(), result);
  EXPECT_EQ(report.round(), 6);
  EXPECT_EQ(report.first_loss(), 3);
  EXPECT_EQ(report.last_loss(), 2);
  EXPECT_EQ(report.inner_steps_done(), 19);
  EXPECT_EQ(report.seconds_training(), 9);
  EXPECT_EQ(report.seconds_waiting(), 1);
}

}  // namespace
}  // namespace weft::site
