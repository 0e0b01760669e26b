// A client of the gate, with what it stands on, and a coordinator in the test's own process that it
// speaks to over TLS.
#ifndef WEFT_TESTS_WORKER_GATE_COORDINATOR_CLIENT_FIXTURE_H_
#define WEFT_TESTS_WORKER_GATE_COORDINATOR_CLIENT_FIXTURE_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "proto/durable_file.h"
#include "tests/testing/fake_coordinator.h"
#include "tests/testing/temporary_folder.h"
#include "worker/gate/base_fetch.h"
#include "worker/gate/coordinator_client.h"

namespace weft {

class CoordinatorClientTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    // By default all of a process's gRPC sockets are polled together, and the fake's threads would
    // finish the client's handshakes. With this each end polls its own, as in two processes.
    setenv("GRPC_POLL_STRATEGY", "poll", 1);
    kits_ = std::make_unique<testing::TemporaryFolder>();
    testing::MakeKits(kits_->path(), {"north", "south"});
  }
  static void TearDownTestSuite() { kits_.reset(); }
  void SetUp() override {
    Serve("coordinator");
    auto ledger = Ledger::Open(folder_ / "ledger.jsonl");
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
    layout_.fill(7);
    options_.backoff_first = absl::Milliseconds(5);
    options_.patience = absl::Seconds(5);
    options_.silence_max = absl::Milliseconds(300);
    options_.chunks_per_call = 2;
    Connect("north");
    fake_->now.mutable_context()->set_run_id("demo");
    fake_->now.set_phase(RoundEvent::FORMING);
    site_blobs_.emplace(*BlobDirectory::Open(folder_ / "site"));
    own_blobs_.emplace(*BlobDirectory::Open(folder_ / "own"));
    ASSERT_TRUE(MakeDirectories(folder_ / "partial").ok());
  }

  Identity IdentityOf(const std::string& name) {
    auto identity = LoadIdentity(*kits_ / name);
    WEFT_CHECK(identity.ok());
    return *identity;
  }
  void Serve(const std::string& name, int port = 0, testing::FakeCoordinator::Kept kept = {}) {
    fake_ = std::make_unique<testing::FakeCoordinator>(IdentityOf(name), port, std::move(kept));
  }
  void Connect(const std::string& kit) {
    client_.reset();
    identity_ = IdentityOf(kit);
    egress_ = *EgressGate::Create({fake_->target(), identity_, "demo", layout_, connect_max_},
                                  ledger_.get());
    client_ = std::make_unique<CoordinatorClient>(egress_.get(), options_, &stop_);
    MessageContext context;
    context.set_run_id("demo");
    context.set_session_id("session");
    client_->SetContext(context);
  }
  JoinRequest Joining() {
    JoinRequest request;
    request.mutable_context()->set_run_id("demo");
    request.set_site("north");
    return request;
  }
  uint64_t Sent(const std::string& type) {
    return ReadLedger(folder_ / "ledger.jsonl")->sent[type].entries;
  }

  // Some chunks of a consensus, served by the fake.
  Digest Offer(const std::vector<float>& z, std::string* blob = nullptr) {
    std::string bytes = PrintVectorHeader({.element_count = z.size(), .layout = layout_});
    WEFT_CHECK(EncodeElements(Encoding::kParametersFp32, z, {}, 0, &bytes).ok());
    const Digest digest = BlobDigest(bytes);
    if (blob != nullptr) *blob = bytes;
    fake_->blobs[ToBytes(digest)] = bytes;
    fake_->now.set_base_digest(ToBytes(digest));
    fake_->now.set_base_bytes(bytes.size());
    return digest;
  }
  std::vector<float> Vector(float scale) {
    std::vector<float> z(1200000);  // five chunks
    for (size_t i = 0; i < z.size(); ++i) z[i] = scale * std::sin(static_cast<float>(i));
    return z;
  }
  BaseFetch Fetching() { return {client_.get(), &*site_blobs_, folder_ / "partial", layout_}; }
  FormedContribution Form(const Digest& base, const std::vector<float>& x) {
    WEFT_CHECK(MakeDirectories(folder_ / "statements").ok());
    RoundResult result;
    result.set_vector_digest(
        ToHex(*WriteVector(*site_blobs_, {.element_count = x.size(), .layout = layout_}, x, {})));
    fake_->now.set_base_digest(ToBytes(base));
    auto formed = FormContribution({.identity = &identity_,
                                    .context = client_->context(),
                                    .vectors = {&*site_blobs_, &*own_blobs_, layout_},
                                    .statement_folder = folder_ / "statements",
                                    .encoding = Encoding::kDeltaBf16},
                                   fake_->now, result);
    WEFT_CHECK(formed.ok());
    return *formed;
  }
  // Lets `transfer` run into the coordinator's end in its middle, keeps the
  // coordinator away for some attempts, and brings it back on its port with what it had on disk.
  void RestartDuring(int chunks, const std::function<void()>& transfer) {
    // The waits between attempts are longer than a connection may take to be made: what gRPC makes
    // by itself while no call drives it has died before the next attempt, as in a long outage.
    connect_max_ = absl::Milliseconds(150);
    options_.backoff_first = options_.backoff_max = absl::Seconds(1);
    options_.patience = absl::Seconds(10);
    Connect("north");
    fake_->stalls_after = chunks;
    std::thread running(transfer);
    const absl::Time end = absl::Now() + absl::Seconds(10);
    while (!fake_->stalled && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_TRUE(fake_->stalled);
    const int port = fake_->port();
    testing::FakeCoordinator::Kept kept{fake_->blobs, fake_->pushed};
    fake_.reset();
    absl::SleepFor(absl::Seconds(1.5));
    Serve("coordinator", port, std::move(kept));
    running.join();
  }
  // The next event, or the error that is not "none yet".
  absl::StatusOr<RoundEvent> Await(absl::Duration within = absl::Seconds(5)) {
    const absl::Time end = absl::Now() + within;
    absl::StatusOr<RoundEvent> event = absl::DeadlineExceededError("");
    while (absl::IsDeadlineExceeded(event.status()) && absl::Now() < end)
      event = client_->NextEvent(absl::Milliseconds(20));
    return event;
  }

  static inline std::unique_ptr<testing::TemporaryFolder> kits_;
  testing::TemporaryFolder folder_;
  std::atomic<bool> stop_{false};
  Digest layout_{};
  ClientOptions options_;
  absl::Duration connect_max_ = absl::Seconds(5);
  Identity identity_;
  std::unique_ptr<testing::FakeCoordinator> fake_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<EgressGate> egress_;
  std::unique_ptr<CoordinatorClient> client_;
  std::optional<BlobDirectory> site_blobs_, own_blobs_;
};

}  // namespace weft

#endif  // WEFT_TESTS_WORKER_GATE_COORDINATOR_CLIENT_FIXTURE_H_
