// A disk of one machine: named files, of which a crash keeps what was synced. A batch is there
// whole or not at all, as a RocksDB batch or a renamed file is.
//
//   disk.Write({{"state", bytes}, {"receipt/a", receipt}}, Sync::kYes);
//   disk.Crash();      // the machine lost power
//   disk.Read("state");
//
// A write may fail; then the batch is lost, or there all the same. Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_SIMULATED_DISK_H_
#define WEFT_TESTS_SIMULATION_SIMULATED_DISK_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/random.h"

namespace weft::simulation {

enum class Sync { kNo, kYes };
// No value: the file is removed.
using Batch = std::vector<std::pair<std::string, std::optional<std::string>>>;

class SimulatedDisk {
 public:
  explicit SimulatedDisk(Faults* faults, uint64_t seed) : faults_(faults), random_(seed) {}

  struct Written {
    bool ok = true;        // what the program is told
    bool durable = false;  // what is true
  };
  Written Write(Batch batch, Sync sync);
  // nullptr: there is no such file.
  const std::string* Read(absl::string_view name) const;
  // What a crash at this instant would leave of it.
  const std::string* ReadDurable(absl::string_view name) const;
  std::vector<std::string> List(absl::string_view prefix) const;
  void RemoveFile(const std::string& name) { Write({{name, std::nullopt}}, Sync::kYes); }

  void Crash();
  // Turns a bit of the file over. False: there is no such file, or it is empty.
  bool Corrupt(const std::string& name);

 private:
  Faults* faults_;
  Random random_;
  std::map<std::string, std::string, std::less<>> durable_;
  std::map<std::string, std::optional<std::string>, std::less<>> unsynced_;  // over it
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_SIMULATED_DISK_H_
