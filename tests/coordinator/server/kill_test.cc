// The coordinator is killed again and again at random instants while a site goes through a run, and
// the final consensus is what it would have been without that.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <iostream>
#include <limits>
#include <optional>
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

class KillTest : public ::testing::Test {
 protected:
  KillTest() {
    run_.Init();
    run_.Serve();
    alba_.emplace(run_, "alba");
    alba_->Join();
  }

  // What the site sends in a round: made from its number alone.
  std::vector<float> VectorOf(uint64_t round) const {
    std::vector<float> x = run_.initial();
    for (size_t i = 0; i < x.size(); ++i) x[i] += 1e-4f * static_cast<float>((round * 31 + i) % 11);
    return x;
  }

  // The digest that this version of the consensus has by the arithmetic alone.
  std::string DigestOf(uint64_t version) {
    for (; version_ < version; ++version_) {
      const std::vector<float> x = VectorOf(version_);
      for (size_t i = 0; i < z_.size(); ++i) {
        const double d = z_[i] - static_cast<double>(x[i]);
        momentum_[i] = static_cast<float>(0.9 * momentum_[i] + d);
        z_[i] = static_cast<float>(z_[i] - 0.5 * (d + 0.9 * momentum_[i]));
      }
    }
    VectorHeader header;
    header.element_count = z_.size();
    header.layout = run_.layout().digest();
    std::string blob = PrintVectorHeader(header);
    EXPECT_TRUE(EncodeElements(header.encoding, z_, {}, 0, &blob).ok());
    return ToBytes(BlobDigest(blob));
  }

  // False: the coordinator is gone.
  bool Look(RoundEvent* event) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    WatchRequest request;
    *request.mutable_context() = alba_->context();
    return alba_->stub().Watch(&context, request)->Read(event);
  }
  bool Contribute(const RoundEvent& round) {
    grpc::ClientContext context;
    PushReply reply;
    const auto stream = alba_->stub().Push(&context, &reply);
    const auto prepared = alba_->Prepare(round, VectorOf(round.round()));
    PushMessage message;
    *message.mutable_head() = prepared.head;
    *message.mutable_head()->mutable_context() = alba_->context();
    stream->Write(message);
    message.mutable_chunk()->set_data(prepared.blob);
    stream->Write(message);
    stream->WritesDone();
    if (!stream->Finish().ok()) return false;
    EXPECT_TRUE(reply.stored()) << reply.ShortDebugString();
    return true;
  }

  // Goes on until the coordinator is gone, or this version is reached.
  void TakePart(uint64_t enough) {
    RoundEvent event;
    while (version_ < enough && Look(&event)) {
      ASSERT_FALSE(event.has_refusal()) << event.ShortDebugString();
      ASSERT_GE(event.context().base_version(), version_);
      ASSERT_EQ(event.base_digest(), DigestOf(event.context().base_version())) << event.round();
      const bool wanted = event.phase() == RoundEvent::OPEN && !event.contribution_stored();
      if (wanted && !Contribute(event)) return;
    }
  }

  RunFixture run_{{"alba"}, [](RunManifest* m) {
                    m->mutable_rounds()->set_round_count(400);
                    m->mutable_consensus()->set_preset("diloco");
                    m->mutable_consensus()->mutable_outer()->set_learning_rate(0.5);
                    m->mutable_consensus()->mutable_outer()->set_momentum(0.9);
                    m->mutable_consensus()->mutable_outer()->set_nesterov(true);
                  }};
  std::optional<TestSite> alba_;
  uint64_t version_ = 0;
  std::vector<float> z_ = run_.initial();
  std::vector<float> momentum_ = std::vector<float>(z_.size(), 0.0f);
};

TEST_F(KillTest, KilledAtAnyInstantItEndsAtTheSameConsensus) {
  const char* given = std::getenv("WEFT_SEED");
  const unsigned seed = given != nullptr ? std::atoi(given) : std::random_device()();
  std::cout << "replay: WEFT_SEED=" << seed << " server_kill_test\n";
  std::mt19937 generator(seed);
  for (int kills = 0; kills < kKills; ++kills) {
    std::jthread killer([this, wait = absl::Milliseconds(generator() % 150)] {
      absl::SleepFor(wait);
      run_.End(SIGKILL);
    });
    TakePart(std::numeric_limits<uint64_t>::max());
    killer.join();
    run_.Serve();
    alba_->Connect();
  }
  const uint64_t enough = version_ + 2;
  TakePart(enough);
  EXPECT_EQ(version_, enough);
}

}  // namespace
}  // namespace weft
