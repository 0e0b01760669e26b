// The worker of a simulated site: takes the order from the site's disk, trains (a deterministic
// function), leaves vector and result there. It may crash at any time and does its order again.
//
// Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_SIMULATED_WORKER_H_
#define WEFT_TESTS_SIMULATION_SIMULATED_WORKER_H_

#include <optional>
#include <string>

#include "proto/site.pb.h"
#include "tests/simulation/simulated_disk.h"
#include "tests/simulation/world.h"

namespace weft::simulation {

// Files of a site's disk; digests in hex.
std::string BaseFile(const std::string& digest);
std::string SiteVectorFile(const std::string& digest);
inline constexpr char kOrderFile[] = "order";
inline constexpr char kResultFile[] = "result";

class SimulatedWorker final : private Process {
 public:
  SimulatedWorker(World* world, std::string site, SimulatedDisk* disk)
      : Process(world), site_(std::move(site)), disk_(disk) {}

  void Start();
  void Crash();
  using Process::up;
  // The gate has written an order: a shared file system shows it a little later.
  void OrderWritten();
  // Deaths by a reason of its own, since the last result.
  int deaths() const { return deaths_; }
  void ForgiveDeaths() { deaths_ = 0; }

 private:
  void Look();
  std::optional<Vector> ReadStart(const RoundOrder& order, std::string* problem);
  void Die(absl::string_view why);
  void FinishAfter(int64_t ms);
  void Finish();

  const std::string site_;
  SimulatedDisk* const disk_;
  RoundOrder training_;  // the order under way
  Vector vector_;        // what will come of it
  bool is_training_ = false;
  int deaths_ = 0;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_SIMULATED_WORKER_H_
