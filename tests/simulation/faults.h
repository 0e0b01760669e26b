// What goes wrong in a simulated federation, how often, and how often it did. When the scenario's
// time for faults is over, nothing goes wrong any more: then the federation has to finish.
//
//   if (faults.Happens(Fault::kMessageLost)) return;
//
// Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_FAULTS_H_
#define WEFT_TESTS_SIMULATION_FAULTS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "tests/simulation/random.h"

namespace weft::simulation {

enum class Fault {
  kMessageLost,
  kMessageDelayed,
  kMessageDoubled,
  kStreamBroken,
  kPartition,
  kClockJump,
  kCoordinatorCrash,  // at an instant between two steps
  kGateCrash,
  kWorkerCrash,
  kCrashInStep,  // before or after a write, or between two effects
  kDiskError,    // the write failed, or was done although it says that it failed
  kFileCorrupted,
  kUnsyncedLost,
  kSlowTraining,
  kUnusableVector,  // a worker whose numbers are not finite
  kLossRose,        // a worker that declares a loss above the quality floor
  kSiteGone,
  kSiteLate,
  kRevoked,
  kTakeOver,
  kPaused,
  kNoEvaluation,  // nobody says anything of a new consensus, or too late
  kConsensusRefused,
  kHostileAct,
  kCount,
};
inline constexpr size_t kFaultKinds = static_cast<size_t>(Fault::kCount);
const char* FaultName(Fault fault);
using FaultCounts = std::array<uint64_t, kFaultKinds>;
// Probabilities, each at the place where the fault can happen.
using FaultRates = std::array<double, kFaultKinds>;

class Faults {
 public:
  Faults(uint64_t seed, const FaultRates& rates) : random_(seed), rates_(rates) {}

  bool Happens(Fault fault) {
    if (over_ || !random_.Chance(rates_[static_cast<size_t>(fault)])) return false;
    Count(fault);
    return true;
  }
  void Count(Fault fault) { ++counts_[static_cast<size_t>(fault)]; }
  double rate(Fault fault) const { return rates_[static_cast<size_t>(fault)]; }
  void EndAll() { over_ = true; }
  bool over() const { return over_; }
  const FaultCounts& counts() const { return counts_; }

 private:
  Random random_;
  FaultRates rates_;
  FaultCounts counts_{};
  bool over_ = false;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_FAULTS_H_
