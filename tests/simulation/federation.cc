#include "tests/simulation/federation.h"

#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "tests/simulation/hostile_site.h"
#include "tests/simulation/simulated_coordinator.h"
#include "tests/simulation/simulated_gate.h"
#include "tests/simulation/world.h"

namespace weft::simulation {
namespace {

constexpr Fault kTroubles[] = {Fault::kPartition, Fault::kClockJump,   Fault::kCoordinatorCrash,
                               Fault::kGateCrash, Fault::kWorkerCrash, Fault::kFileCorrupted,
                               Fault::kSiteGone,  Fault::kRevoked,     Fault::kTakeOver,
                               Fault::kPaused};

class Federation {
 public:
  Federation(const Scenario& scenario, const Mutation& mutation, bool tracing)
      : scenario_(scenario),
        world_(scenario, mutation, tracing),
        random_(Mix(scenario.seed ^ 0x770b1e)) {}

  FederationResult Run();

 private:
  void Build();
  void ScheduleTrouble();
  void MakeTrouble();
  void Do(Fault trouble);
  void EndTrouble();
  bool Done() const;
  int64_t ProgressMsMax() const;
  SimulatedGate& AnyGate() { return *gates_[random_.Below(gates_.size())]; }

  const Scenario& scenario_;
  World world_;
  Random random_;
  std::unique_ptr<SimulatedCoordinator> coordinator_;
  std::vector<std::unique_ptr<SimulatedGate>> gates_;  // of the honest sites
  std::vector<std::unique_ptr<HostileSite>> hostile_;
  int gone_ = 0;
};

void Federation::Build() {
  coordinator_ = std::make_unique<SimulatedCoordinator>(&world_);
  world_.coordinator = coordinator_.get();
  for (int site = 0; site < scenario_.site_count; ++site) {
    if (site < scenario_.hostile_count) {
      hostile_.push_back(std::make_unique<HostileSite>(&world_, site));
      world_.sites.push_back(hostile_.back().get());
      hostile_.back()->Start();
      continue;
    }
    gates_.push_back(std::make_unique<SimulatedGate>(&world_, site));
    world_.sites.push_back(gates_.back().get());
    int64_t start_ms = random_.Between(0, 2000);
    if (random_.Chance(0.15)) {
      start_ms += random_.Between(5000, 60'000);
      world_.faults.Count(Fault::kSiteLate);
    }
    world_.scheduler.After(start_ms, [gate = gates_.back().get()] { gate->Start(); });
  }
  coordinator_->Start();
}

void Federation::ScheduleTrouble() {
  const double wait =
      -std::log(1 - random_.Unit()) * static_cast<double>(scenario_.trouble_every_ms);
  world_.scheduler.After(1 + static_cast<int64_t>(wait), [this] {
    if (world_.faults.over()) return;
    MakeTrouble();
    ScheduleTrouble();
  });
}

void Federation::MakeTrouble() {
  double sum = 0;
  for (const Fault trouble : kTroubles) sum += world_.faults.rate(trouble);
  double at = random_.Unit() * sum;
  for (const Fault trouble : kTroubles) {
    at -= world_.faults.rate(trouble);
    if (at < 0) return Do(trouble);
  }
}

void Federation::Do(Fault trouble) {
  SimulatedGate& gate = AnyGate();
  switch (trouble) {
    case Fault::kPartition:
      for (int site = 0; site < scenario_.site_count; ++site) {
        if (random_.Chance(0.4)) world_.network.CutOff(site, random_.Between(500, 40'000));
      }
      break;
    case Fault::kClockJump: {
      const int64_t ms = random_.Between(-600'000, 600'000);
      random_.Chance(0.5) ? coordinator_->JumpClock(ms) : gate.JumpClock(ms);
      break;
    }
    case Fault::kCoordinatorCrash:
      if (!coordinator_->up()) return;
      coordinator_->Crash("kill -9");
      break;
    case Fault::kGateCrash:
      if (!gate.up()) return;
      gate.Crash("kill -9");
      break;
    case Fault::kWorkerCrash:
      if (!gate.worker().up()) return;
      gate.worker().Crash();
      break;
    case Fault::kFileCorrupted: {
      static constexpr const char* kFolders[] = {"base/", "vector/", "own/", "statement/"};
      const std::vector<std::string> files = gate.disk().List(kFolders[random_.Below(4)]);
      if (files.empty()) return;
      const std::string& file = files[random_.Below(files.size())];
      if (!gate.disk().Corrupt(file)) return;
      world_.Trace(gate.name(), "has a damaged file: ", file);
      break;
    }
    case Fault::kSiteGone:
    case Fault::kRevoked:
      if (gone_ >= scenario_.gone_count_max || gate.out() || gate.finished()) return;
      if (trouble == Fault::kRevoked) {
        if (!coordinator_->up()) return;
        world_.checkers.SiteRevoked(gate.name());
        coordinator_->Revoke(gate.name());
      }
      gate.Vanish();
      ++gone_;
      break;
    case Fault::kPaused:
      if (!coordinator_->up()) return;
      coordinator_->Pause();
      world_.scheduler.After(random_.Between(500, 30'000), [this] { coordinator_->Resume(); });
      break;
    case Fault::kTakeOver:
      if (!coordinator_->up()) return;
      coordinator_->TakeOverAtNextStart();
      coordinator_->Crash("another process takes over");
      break;
    default:
      return;
  }
  world_.faults.Count(trouble);
  world_.Trace("trouble", FaultName(trouble), " (site ", gate.name(), " if of one site)");
}

void Federation::EndTrouble() {
  world_.Trace("trouble", "nothing goes wrong from here on");
  world_.faults.EndAll();
  world_.network.HealAll();
  coordinator_->SetClockRight();
  coordinator_->Resume();
}

bool Federation::Done() const {
  if (coordinator_->DurableState().phase() != RoundEvent::FINISHED) return false;
  for (const auto& gate : gates_) {
    if (!gate->finished() && !gate->out()) return false;
  }
  return true;
}

// A round may have to be extended once, with sites that have just come back; then it takes as long
// as the slowest training and some messages.
int64_t Federation::ProgressMsMax() const {
  const RoundRules& rules = scenario_.manifest.rounds();
  return int64_t{rules.round_count() + 4} *
             (1000 * int64_t{rules.round_seconds_max()} + scenario_.training_ms_max + 10'000 +
              1000 * int64_t{rules.evaluation_seconds_max()}) +
         300'000;
}

FederationResult Federation::Run() {
  Build();
  ScheduleTrouble();
  world_.scheduler.After(scenario_.faults_end_ms, [this] { EndTrouble(); });
  const int64_t end_ms = scenario_.faults_end_ms + ProgressMsMax();
  int64_t look_ms = 0;
  while (!world_.checkers.violated() && world_.scheduler.RunNext()) {
    const int64_t now = world_.scheduler.now_ms();
    if (now < look_ms) continue;
    look_ms = now + 2000;
    if (Done()) break;
    if (now <= end_ms) continue;
    const RoundState state = coordinator_->DurableState();
    std::string words = absl::StrCat(
        (now - scenario_.faults_end_ms) / 1000, " s after the last fault: the coordinator is ",
        RoundEvent::Phase_Name(state.phase()), " round ", state.current().round(), " of ",
        scenario_.manifest.rounds().round_count(), " (", state.reason(), ")");
    for (const auto& gate : gates_) absl::StrAppend(&words, "; ", gate->Describe());
    world_.checkers.Violated("progress", words);
  }
  FederationResult result;
  result.violation = world_.checkers.violation();
  result.rounds = world_.checkers.versions().size() - 1;
  result.sites = static_cast<uint64_t>(scenario_.site_count);
  result.faults = world_.faults.counts();
  return result;
}

}  // namespace

FederationResult RunFederation(uint64_t seed, const Mutation& mutation, bool tracing) {
  const Scenario scenario = DrawScenario(seed);
  return Federation(scenario, mutation, tracing).Run();
}

}  // namespace weft::simulation
