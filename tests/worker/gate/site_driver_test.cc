#include "worker/gate/site_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"
#include "model/parameters/parameter_codec.h"
#include "proto/durable_file.h"
#include "tests/testing/fake_coordinator.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A gate without a worker, in an open round of the fake's.
class SiteDriverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("GRPC_POLL_STRATEGY", "poll", 1);  // each end polls its own sockets
    testing::MakeKits(folder_.path(), {"north"});
    fake_ = std::make_unique<testing::FakeCoordinator>(*LoadIdentity(folder_ / "coordinator"));
    accepted_.manifest.set_protocol_version(1);
    accepted_.manifest.set_run_id("demo");
    const Digest layout = Sha256("a layout");
    accepted_.manifest.set_layout_digest(ToHex(layout));
    accepted_.manifest.mutable_encodings()->set_up("parameters_fp32");
    const std::vector<float> z(1000, 0.5f);
    std::string blob = PrintVectorHeader({.element_count = z.size(), .layout = layout});
    ASSERT_TRUE(EncodeElements(Encoding::kParametersFp32, z, {}, 0, &blob).ok());
    fake_->blobs[ToBytes(BlobDigest(blob))] = blob;
    RoundEvent& now = fake_->now;
    now.mutable_context()->set_run_id("demo");
    now.mutable_context()->set_coordinator_epoch(1);
    now.mutable_context()->set_fragment_count(1);
    now.set_phase(RoundEvent::OPEN);
    now.set_round_count(1);
    now.set_base_digest(ToBytes(BlobDigest(blob)));
    now.set_base_bytes(blob.size());
    now.set_inner_steps(50);
    now.set_inner_steps_min(5);
    gate_folder_.emplace(folder_ / "state");
    ASSERT_TRUE(gate_folder_->MakeFolders().ok());
    site_.emplace(*SiteDirectory::Open(folder_ / "site"));
  }

  // Runs the gate until its order is cut, or `longest`. Returns when that was seen, by this clock.
  absl::Time RunUntilCut(absl::Duration longest) {
    const Identity identity = *LoadIdentity(folder_ / "north");
    auto ledger = Ledger::Open(gate_folder_->ledger_path());
    WEFT_CHECK(ledger.ok());
    auto egress =
        EgressGate::Create({fake_->target(), identity, "demo", Sha256("a layout")}, ledger->get());
    WEFT_CHECK(egress.ok());
    std::atomic<bool> stop{false};
    CoordinatorClient client(egress->get(), ClientOptions{}, &stop);
    const BlobDirectory own_blobs = *BlobDirectory::Open(gate_folder_->blob_folder());
    SiteDriverOptions options;
    options.poll = absl::Milliseconds(10);
    SiteDriver driver({&*gate_folder_, &identity, &accepted_, &*site_, &own_blobs, ledger->get(),
                       &client, nullptr},
                      options, *gate_folder_->LoadState(accepted_, "north"), &stop);
    std::thread running([&] { EXPECT_TRUE(driver.Run().ok()); });
    const absl::Time give_up = absl::Now() + longest;
    absl::Time cut = absl::InfiniteFuture();
    while (cut == absl::InfiniteFuture() && absl::Now() < give_up) {
      absl::SleepFor(absl::Milliseconds(5));
      const auto order = site_->NewestOrder();
      if (order.ok() && order->has_value() && (*order)->steps_enough() == 5) cut = absl::Now();
    }
    stop = true;
    running.join();
    return cut;
  }

  // The coordinator's clock is wrong by `ahead`, or this one is.
  void ExpectCutInTime(absl::Duration ahead) {
    fake_->clock_ahead = ahead;
    const absl::Time when = absl::Now() + absl::Seconds(3);  // by this machine's clock
    fake_->now.set_cut_unix_ms(absl::ToUnixMillis(when + ahead));
    ::testing::internal::CaptureStderr();
    const absl::Time cut = RunUntilCut(absl::Seconds(20));
    log_ = ::testing::internal::GetCapturedStderr();
    // Half of the join is the error: it waits for a handshake on a machine that may be busy.
    EXPECT_GT(cut, when - absl::Seconds(1)) << log_;
    EXPECT_LT(cut, when + absl::Seconds(5)) << log_;
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<testing::FakeCoordinator> fake_;
  SignedManifest accepted_;
  std::optional<GateFolder> gate_folder_;
  std::optional<SiteDirectory> site_;
  std::string log_;
};

TEST_F(SiteDriverTest, CutsWhenTimeIsUp) {
  ExpectCutInTime(absl::ZeroDuration());
  EXPECT_THAT(log_, Not(HasSubstr("this machine's clock")));
}

TEST_F(SiteDriverTest, CutsInTimeByACoordinatorWhoseClockIsAhead) {
  ExpectCutInTime(absl::Minutes(10));
  EXPECT_THAT(log_, HasSubstr("this machine's clock is not the coordinator's"));
  EXPECT_THAT(log_, ::testing::ContainsRegex("seconds_behind=(600|599)"));
}

TEST_F(SiteDriverTest, CutsInTimeByACoordinatorWhoseClockIsBehind) {
  ExpectCutInTime(-absl::Minutes(10));
  EXPECT_THAT(log_, ::testing::ContainsRegex("seconds_behind=-(600|599)"));
}

TEST(ClockOffsetTest, IsKnownToHalfTheCall) {
  const absl::Time sent = absl::FromUnixSeconds(1000), answered = sent + absl::Seconds(4);
  const ClockOffset clock = MeasureClock(sent, answered, 1010000);
  EXPECT_EQ(clock.ahead, absl::Seconds(8));
  EXPECT_EQ(clock.error, absl::Seconds(2));
  EXPECT_EQ(clock.correction(), absl::Seconds(8));
  EXPECT_EQ(MeasureClock(sent, answered, 1003500).correction(), absl::ZeroDuration());
  EXPECT_EQ(MeasureClock(sent, answered, 999000).correction(), absl::Seconds(-3));
  EXPECT_EQ(MeasureClock(sent, answered, 0).correction(), absl::ZeroDuration());
}

}  // namespace
}  // namespace weft
