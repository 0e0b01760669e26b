// What the driver does with vectors: duals and anchors, fragments, the site's place in its data. A
// real gate against a coordinator that says what the test tells it; the test is the worker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"
#include "model/parameters/fragments.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"
#include "tests/testing/fake_coordinator.h"
#include "tests/testing/temporary_folder.h"
#include "worker/gate/site_driver.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Vector = std::vector<float>;

class SiteDriverWorkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("GRPC_POLL_STRATEGY", "poll", 1);
    testing::MakeKits(folder_.path(), {"north"});
    layout_ = Sha256("a layout");
    manifest().set_protocol_version(1);
    manifest().set_run_id("demo");
    manifest().set_layout_digest(ToHex(layout_));
    manifest().mutable_encodings()->set_up("parameters_fp32");
    manifest().mutable_rounds()->set_round_count(3);
    manifest().mutable_rounds()->set_inner_steps(50);
    gate_folder_.emplace(folder_ / "state");
    ASSERT_TRUE(gate_folder_->MakeFolders().ok());
    site_.emplace(*SiteDirectory::Open(folder_ / "site"));
  }
  RunManifest& manifest() { return accepted_.manifest; }

  std::string Blob(const Vector& x) {
    std::string blob = PrintVectorHeader({.element_count = x.size(), .layout = layout_});
    WEFT_CHECK(EncodeElements(Encoding::kParametersFp32, x, {}, 0, &blob).ok());
    return blob;
  }
  static Vector Read(const BlobDirectory& from, const std::string& hex) {
    auto reader = VectorReader::Open(from.PathOf(*DigestFromHex(hex)));
    EXPECT_TRUE(reader.ok()) << reader.status();
    if (!reader.ok()) return {};
    Vector x(reader->header().element_count);
    EXPECT_TRUE(reader->Read(0, {}, absl::MakeSpan(x)).ok());
    return x;
  }
  // A coordinator that has just opened this round, and serves its base.
  RoundEvent& Opens(uint64_t round, const std::string& base) {
    fake_ = std::make_unique<testing::FakeCoordinator>(*LoadIdentity(folder_ / "coordinator"));
    Serve(base);
    RoundEvent& now = fake_->now;
    now.mutable_context()->set_run_id("demo");
    now.mutable_context()->set_coordinator_epoch(1);
    now.mutable_context()->set_fragment_count(1);
    now.mutable_context()->set_base_version(round);
    now.set_phase(RoundEvent::OPEN);
    now.set_round(round);
    now.set_round_count(3);
    now.set_base_digest(ToBytes(BlobDigest(base)));
    now.set_base_bytes(base.size());
    now.set_inner_steps(50);
    now.set_inner_steps_min(50);
    return now;
  }
  void Serve(const std::string& blob) { fake_->blobs[ToBytes(BlobDigest(blob))] = blob; }
  void Included(uint64_t version) {
    ContributionOutcome* outcome = fake_->now.mutable_outcome();
    outcome->set_digest(pushed_);
    outcome->set_base_version(version);
    outcome->set_included(true);
    outcome->set_weight(1);
  }
  void TrainTo(const RoundOrder& order, const Vector& x) {
    RoundResult result;
    result.set_round(order.round());
    result.set_base_digest(order.base_digest());
    result.set_vector_digest(ToHex(*site_->WriteVector(layout_, x)));
    result.set_inner_steps(50);
    ASSERT_TRUE(site_->WriteResult(result).ok());
  }

  // A gate's life: until `done`, or until it ends by itself. Its end is returned.
  absl::Status RunUntil(const std::function<bool()>& done) {
    const Identity identity = *LoadIdentity(folder_ / "north");
    auto ledger = Ledger::Open(gate_folder_->ledger_path());
    WEFT_CHECK(ledger.ok());
    auto egress = EgressGate::Create({fake_->target(), identity, "demo", layout_}, ledger->get());
    WEFT_CHECK(egress.ok());
    std::atomic<bool> stop{false}, ended{false};
    CoordinatorClient client(egress->get(), ClientOptions{}, &stop);
    SiteDriverOptions options;
    options.poll = absl::Milliseconds(10);
    SiteDriver driver({&*gate_folder_, &identity, &accepted_, &*site_, &own_, ledger->get(),
                       &client, nullptr},
                      options, *gate_folder_->LoadState(accepted_, "north"), &stop);
    absl::Status end;
    std::thread running([&] {
      end = driver.Run();
      ended = true;
    });
    const absl::Time give_up = absl::Now() + absl::Seconds(60);
    while (!done() && !ended && absl::Now() < give_up) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_LT(absl::Now(), give_up);
    stop = true;
    running.join();
    return end;
  }
  RoundOrder OrderOf(uint64_t round) {
    std::optional<RoundOrder> order;
    const absl::Status end = RunUntil([&] {
      order = *site_->NewestOrder();
      return order.has_value() && order->round() == round;
    });
    EXPECT_TRUE(end.ok()) << end;
    return order.value_or(RoundOrder());
  }
  // The vector that the gate sends, and what it then keeps.
  Vector Sent() {
    EXPECT_TRUE(RunUntil([&] { return fake_->reports > 0; }).ok());
    pushed_ = fake_->stored;
    return Read(own_, ToHex(*DigestFromBytes(pushed_)));
  }

  testing::TemporaryFolder folder_;
  Digest layout_{};
  std::unique_ptr<testing::FakeCoordinator> fake_;
  SignedManifest accepted_;
  std::optional<GateFolder> gate_folder_;
  std::optional<SiteDirectory> site_;
  BlobDirectory own_ = *BlobDirectory::Open(folder_ / "state/blobs");
  std::string pushed_;
};

// Three rounds of ADMM by hand: u = u + x - z; anchor z - u; sent z + (x + u) - (x + u before).
TEST_F(SiteDriverWorkTest, DualAnchorAndChangeFollowOneAnother) {
  manifest().mutable_consensus()->set_dual(true);
  manifest().mutable_consensus()->set_rho(4);
  const std::string z0 = Blob({1, 2}), z1 = Blob({2, 2}), z2 = Blob({2, 3});
  manifest().set_initial_consensus(ToHex(BlobDigest(z0)));
  Opens(0, z0);
  RoundOrder order = OrderOf(0);
  EXPECT_EQ(order.anchor_digest(), "");
  TrainTo(order, {3, 1});
  EXPECT_THAT(Sent(), ElementsAre(3, 1));  // z0 + x - z0

  Opens(1, z1).set_rho(4);
  Included(0);
  order = OrderOf(1);
  EXPECT_EQ(order.rho(), 4);
  EXPECT_THAT(Read(site_->blobs(), order.anchor_digest()), ElementsAre(1, 3));  // u = (1, -1)
  TrainTo(order, {2, 4});
  EXPECT_THAT(Sent(), ElementsAre(2 + 3 - 3, 2 + 3 - 1));

  // It was left out: the dual stays, and so does what was sent. rho is halved, so u is doubled.
  Opens(2, z2).set_rho(2);
  Included(1);
  fake_->now.mutable_outcome()->set_included(false);
  order = OrderOf(2);
  EXPECT_THAT(Read(site_->blobs(), order.anchor_digest()), ElementsAre(0, 5));  // u = (2, -2)
  TrainTo(order, {2, 2});
  EXPECT_THAT(Sent(), ElementsAre(2 + 4 - 3, 3 + 0 - 1));
  EXPECT_EQ(own_.List().size(), 4u);  // u, sent, sent if this one counts, and the contribution
}

TEST_F(SiteDriverWorkTest, ASiteThatComesLateFetchesTheInitialConsensus) {
  manifest().mutable_consensus()->set_dual(true);
  const std::string z0 = Blob({1, 2}), z5 = Blob({2, 2});
  manifest().set_initial_consensus(ToHex(BlobDigest(z0)));
  Opens(5, z5);
  EXPECT_THAT(RunUntil([] { return false; }).ToString(), HasSubstr("the run's initial consensus"));
  Opens(5, z5);
  Serve(z0);
  TrainTo(OrderOf(5), {3, 1});
  EXPECT_THAT(Sent(), ElementsAre(2 + 3 - 1, 2 + 1 - 2));
}

TEST_F(SiteDriverWorkTest, FragmentsAreFetchedByTheirChangesAndAssembledInTheEnd) {
  manifest().mutable_consensus()->set_fragments(2);
  Vector z(1000, 0.5f);
  const BlobDirectory vectors = *BlobDirectory::Open(folder_ / "vectors");
  const auto fragments = [&] { return *WriteFragments(vectors, layout_, z, 2); };
  const auto bytes = [&](const Digest& digest) { return *ReadWholeFile(vectors.PathOf(digest)); };
  const auto opens = [&](uint64_t round, const std::vector<Digest>& parts) {
    RoundEvent& now = Opens(round, bytes(parts[round % 2]));
    now.mutable_context()->set_fragment_count(2);
    now.mutable_context()->set_fragment(static_cast<uint32_t>(round % 2));
    for (const Digest& part : parts) {
      Serve(bytes(part));
      now.add_fragments()->set_digest(ToBytes(part));
      now.mutable_fragments()->rbegin()->set_bytes(bytes(part).size());
    }
  };
  const std::vector<Digest> before = fragments();
  opens(0, before);
  RoundOrder order = OrderOf(0);
  EXPECT_THAT(order.fragment_digests(), ElementsAre(ToHex(before[0]), ToHex(before[1])));
  EXPECT_EQ(order.base_digest(), ToHex(before[0]));

  z[0] = 0.75f;
  const std::vector<Digest> after = fragments();
  VectorHeader header = FragmentHeader(layout_, z.size(), 2, 0);
  header.encoding = Encoding::kDeltaBf16;
  header.base = before[0];
  const Vector old(header.element_count, 0.5f);
  const Digest delta =
      *WriteVector(vectors, header, absl::MakeSpan(z).subspan(0, header.element_count), old);
  opens(1, after);
  fake_->blobs.erase(ToBytes(after[0]));  // only its change can be had
  Serve(bytes(delta));
  FragmentVersion* changed = fake_->now.mutable_fragments(0);
  changed->set_delta_digest(ToBytes(delta));
  changed->set_delta_bytes(bytes(delta).size());
  changed->set_delta_base_digest(ToBytes(before[0]));
  order = OrderOf(1);
  EXPECT_EQ(order.fragment(), 1u);
  EXPECT_EQ(order.fragment_digests(0), ToHex(after[0]));

  opens(2, after);
  fake_->now.set_phase(RoundEvent::FINISHED);
  EXPECT_TRUE(RunUntil([] { return false; }).ok());
  RoundOrder last;
  ASSERT_TRUE(ReadTextProto(folder_ / "site/final.textproto", &last).ok());
  EXPECT_EQ(last.fragment_digests_size(), 0);
  EXPECT_EQ(Read(site_->blobs(), last.base_digest()), z);
}

TEST_F(SiteDriverWorkTest, WithoutABarrierASiteGoesOnInItsOwnData) {
  GateState state;
  state.set_version(1);
  state.set_run_id("demo");
  state.set_site("north");
  state.set_manifest_digest(ToHex(accepted_.digest));
  state.set_work_count(3);
  ASSERT_TRUE(WriteTextProto(gate_folder_->state_path(), state).ok());
  Opens(7, Blob({1, 2})).set_first_step(999);
  EXPECT_EQ(OrderOf(7).first_sample_step(), 999u);
  EXPECT_EQ(OrderOf(7).total_steps(), 150u);
  manifest().mutable_consensus()->set_asynchrony("delayed");
  manifest().mutable_rounds()->set_sites_to_start(2);
  Opens(8, Blob({1, 3})).set_first_step(999);
  const RoundOrder order = OrderOf(8);
  EXPECT_EQ(order.first_sample_step(), 3u * 50);
  EXPECT_EQ(order.total_steps(), 75u);
}

}  // namespace
}  // namespace weft
