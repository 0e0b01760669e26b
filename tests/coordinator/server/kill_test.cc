// The coordinator is killed again and again at random instants while a site goes through a run, and
// the final consensus is what it would have been without that.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_digest.h"
#include "tests/testing/test_site.h"

namespace weft {
namespace {

using ::weft::testing::RunFixture;
using ::weft::testing::TestSite;

constexpr int kKills = 6;

grpc::Status Watch(TestSite& site, RoundEvent* event) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  WatchRequest request;
  *request.mutable_context() = site.context();
  const auto stream = site.stub().Watch(&context, request);
  if (stream->Read(event)) return grpc::Status::OK;
  return stream->Finish();
}

TEST(KillTest, KilledAtAnyInstantItEndsAtTheSameConsensus) {
  const char* given = std::getenv("WEFT_SEED");
  const unsigned seed = given != nullptr ? std::atoi(given) : std::random_device()();
  std::cout << "replay: WEFT_SEED=" << seed << " server_kill_test\n";
  std::mt19937 generator(seed);

  RunFixture run({"alba"}, [](RunManifest* m) {
    m->mutable_rounds()->set_round_count(400);
    m->mutable_consensus()->set_preset("diloco");
    m->mutable_consensus()->mutable_outer()->set_learning_rate(0.5);
    m->mutable_consensus()->mutable_outer()->set_momentum(0.9);
    m->mutable_consensus()->mutable_outer()->set_nesterov(true);
  });
  run.Init();
  run.Serve();
  TestSite alba(run, "alba");
  alba.Join();

  // What the consensus is by the arithmetic alone: each round the site sends its vector of that
  // round's number.
  const auto vector_of = [&run](uint64_t round) {
    std::vector<float> x = run.initial();
    for (size_t i = 0; i < x.size(); ++i) x[i] += 1e-4f * static_cast<float>((round * 31 + i) % 11);
    return x;
  };
  std::vector<float> z = run.initial(), momentum(z.size(), 0.0f);
  uint64_t version = 0;
  const auto advance_to = [&](uint64_t wanted) {
    for (; version < wanted; ++version) {
      const std::vector<float> x = vector_of(version);
      for (size_t i = 0; i < z.size(); ++i) {
        const double d = z[i] - static_cast<double>(x[i]);
        momentum[i] = static_cast<float>(0.9 * momentum[i] + d);
        z[i] = static_cast<float>(z[i] - 0.5 * (d + 0.9 * momentum[i]));
      }
    }
    VectorHeader header;
    header.element_count = z.size();
    header.layout = run.layout().digest();
    std::string blob = PrintVectorHeader(header);
    EXPECT_TRUE(EncodeElements(header.encoding, z, {}, 0, &blob).ok());
    return ToBytes(BlobDigest(blob));
  };

  for (int kills = 0; kills <= kKills; ++kills) {
    std::atomic<bool> killed{false};
    std::jthread killer([&] {
      absl::SleepFor(absl::Milliseconds(generator() % 150));
      if (kills < kKills) run.End(SIGKILL);
      killed = true;
    });
    bool going = true;
    while (going) {
      RoundEvent event;
      const bool last_look = killed && kills == kKills;
      if (!Watch(alba, &event).ok()) break;
      ASSERT_FALSE(event.has_refusal()) << event.ShortDebugString();
      ASSERT_GE(event.context().base_version(), version);
      ASSERT_EQ(event.base_digest(), advance_to(event.context().base_version())) << event.round();
      going = !last_look;
      if (event.phase() != RoundEvent::OPEN || event.contribution_stored()) continue;
      grpc::ClientContext context;
      PushReply reply;
      const auto stream = alba.stub().Push(&context, &reply);
      const auto prepared = alba.Prepare(event, vector_of(event.round()));
      PushMessage message;
      *message.mutable_head() = prepared.head;
      *message.mutable_head()->mutable_context() = alba.context();
      stream->Write(message);
      message.mutable_chunk()->set_data(prepared.blob);
      stream->Write(message);
      stream->WritesDone();
      if (!stream->Finish().ok()) break;
      ASSERT_TRUE(reply.stored()) << reply.ShortDebugString();
    }
    killer.join();
    if (kills < kKills) {
      run.Serve();
      alba.Connect();
    }
  }
  EXPECT_GT(version, 0);
  std::cout << "rounds done: " << version << "\n";
}

}  // namespace
}  // namespace weft
