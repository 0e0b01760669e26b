// A site that is killed at any event of a run, in any scheme, gives the results of one that was
// not.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/training/tiny_federation.h"

namespace weft {
namespace {

struct Scheme {
  const char* name;
  std::function<void(RoundOrder*)> shape;
  uint32_t late;
};

void Validated(RoundOrder* order) {
  order->mutable_consensus()->mutable_influence()->set_validation_samples(5);
}

void Streaming(RoundOrder* o) {
  o->mutable_consensus()->set_fragments(3);
  o->mutable_consensus()->set_fragment_delay_steps(2);
  o->mutable_consensus()->set_alpha(0.6);
  // Another one in each round: for the first steps that of the round before is in force.
  o->set_rho(1.0 + static_cast<double>(o->round()));
  Validated(o);
}

const std::vector<Scheme>& Schemes() {
  static const std::vector<Scheme> schemes = {
      {"proximal",
       [](RoundOrder* o) {
         o->mutable_consensus()->set_pull(0.4);
         o->mutable_consensus()->set_alpha(0.5);
         Validated(o);
       },
       0},
      {"sgd, coupled",
       [](RoundOrder* o) {
         o->mutable_training()->set_optimizer("sgd");
         o->mutable_consensus()->set_rho(0.5);
         o->mutable_consensus()->set_pull_form("gradient");
       },
       0},
      {"elastic",
       [](RoundOrder* o) {
         o->mutable_consensus()->set_mix_with("previous");
         o->mutable_consensus()->set_alpha(0.3);
       },
       0},
      {"admm",
       [](RoundOrder* o) {
         o->mutable_consensus()->set_dual(true);
         o->mutable_consensus()->set_alpha(0);
         o->set_rho(2);
         o->set_anchor_digest("anchor");
       },
       0},
      {"streaming, orders late", Streaming, 2},
      {"streaming, orders at once", Streaming, 0},
      {"streaming, not pulled, orders a little late",
       [](RoundOrder* o) {
         o->mutable_consensus()->set_fragments(2);
         o->mutable_consensus()->set_fragment_delay_steps(3);
       },
       1},
  };
  return schemes;
}

TEST(TrainerResumeTest, KilledAtAnyEventItGivesTheSameBits) {
  TestFolder folder("trainer_resume");
  WriteTinyShards(folder / "shards");
  for (const Scheme& scheme : Schemes()) {
    SCOPED_TRACE(scheme.name);
    TinyFederation federation(folder / "shards");
    federation.shape = scheme.shape;
    federation.late = [&](uint64_t) { return scheme.late; };
    const TinyRun expected = federation.Run();
    ASSERT_EQ(expected.losses.size(), TinyFederation::kRounds * TinyFederation::kSteps);
    for (int crash = 1; crash <= expected.events; ++crash) {
      SCOPED_TRACE("killed at event " + std::to_string(crash));
      std::filesystem::remove_all(folder / "checkpoints");
      federation.checkpoints = folder / "checkpoints";
      federation.crash_at = crash;
      const TinyRun killed = federation.Run();
      ASSERT_EQ(killed.results, expected.results);
      ASSERT_EQ(killed.losses, expected.losses);
      for (size_t r = 0; r < expected.stats.size(); ++r) {
        ASSERT_EQ(killed.stats[r].first_loss, expected.stats[r].first_loss);
        ASSERT_EQ(killed.stats[r].last_loss, expected.stats[r].last_loss);
        ASSERT_EQ(killed.stats[r].validation_before, expected.stats[r].validation_before);
        ASSERT_EQ(killed.stats[r].validation_after, expected.stats[r].validation_after);
      }
      federation.checkpoints.clear();
      federation.crash_at = 0;
    }
  }
}

}  // namespace
}  // namespace weft
