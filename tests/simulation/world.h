// What the parts of one simulated federation share. See federation.h.
#ifndef WEFT_TESTS_SIMULATION_WORLD_H_
#define WEFT_TESTS_SIMULATION_WORLD_H_

#include <cstdio>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/simulation/checkers.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/messages.h"
#include "tests/simulation/mutation.h"
#include "tests/simulation/random.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/simulated_network.h"

namespace weft::simulation {

// The coordinator as its sites see it.
class CoordinatorEnd {
 public:
  virtual ~CoordinatorEnd() = default;
  virtual void Receive(int site, const Call& call, Respond respond) = 0;
  virtual void OpenWatch(int site, const MessageContext& context, uint64_t stream) = 0;
  // The other end of the stream is gone. `stream` may be unknown.
  virtual void WatchEnded(uint64_t stream) = 0;
};

// A site as the coordinator sees it.
class SiteEnd {
 public:
  virtual ~SiteEnd() = default;
  virtual void ReceiveEvent(uint64_t stream, const RoundEvent& event) = 0;
  virtual void ConnectionReset() = 0;  // the coordinator's process is gone
};

struct World {
  World(const Scenario& scenario, const Mutation& mutation, bool tracing)
      : scenario(scenario),
        mutation(mutation),
        tracing(tracing),
        random(Mix(scenario.seed ^ 0xa11)),
        faults(Mix(scenario.seed ^ 0xfa17), scenario.rates),
        network(&scheduler, &faults, Mix(scenario.seed ^ 0x0e7), scenario.site_count,
                scenario.network_ms_max),
        checkers(scenario) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  template <typename... Words>
  void Trace(absl::string_view who, const Words&... words) {
    if (!tracing) return;
    std::printf("%9.3f %-11s %s\n", static_cast<double>(scheduler.now_ms()) / 1000,
                std::string(who).c_str(), absl::StrCat(words...).c_str());
  }

  const Scenario& scenario;
  const Mutation& mutation;
  const bool tracing;
  Scheduler scheduler;
  Random random;
  Faults faults;
  SimulatedNetwork network;
  Checkers checkers;
  uint64_t next_stream = 1;
  CoordinatorEnd* coordinator = nullptr;
  std::vector<SiteEnd*> sites;
};

// A process that may crash: what it scheduled dies with it.
class Process {
 public:
  explicit Process(World* world) : world_(world) {}
  bool up() const { return up_; }

 protected:
  ~Process() = default;
  void Begin() {
    up_ = true;
    ++life_;
  }
  void End() {
    up_ = false;
    ++life_;
  }
  uint64_t life() const { return life_; }
  void After(int64_t ms, std::function<void()> action) {
    world_->scheduler.After(ms, [this, life = life_, action = std::move(action)] {
      if (life == life_) action();
    });
  }

  World* const world_;

 private:
  bool up_ = false;
  uint64_t life_ = 0;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_WORLD_H_
