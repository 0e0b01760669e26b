// What a seed stands for: the run's rules, its sites, and how much goes wrong until when.
//
//   const Scenario scenario = DrawScenario(17);
//
// Most federations are small; one in fifty has a hundred sites or more, one in fifty hundreds of
// rounds. The quorum can be reached without the hostile sites and without those that go for good.
#ifndef WEFT_TESTS_SIMULATION_SCENARIO_H_
#define WEFT_TESTS_SIMULATION_SCENARIO_H_

#include <cstdint>
#include <string>

#include "model/parameters/parameter_codec.h"
#include "proto/run_manifest.pb.h"
#include "tests/simulation/faults.h"

namespace weft::simulation {

struct Scenario {
  uint64_t seed = 0;
  int site_count = 0;  // of the membership, hostile ones included; these come first
  int hostile_count = 0;
  int gone_count_max = 0;  // sites that may end for good, or be revoked
  uint64_t elements = 0;
  uint64_t block_elements = 0;
  RunManifest manifest;
  Membership membership;
  Encoding up = Encoding::kParametersFp32;
  Encoding down = Encoding::kParametersFp32;
  FaultRates rates{};
  int64_t trouble_every_ms = 0;  // mean time between crashes, partitions and the like
  int64_t faults_end_ms = 0;
  int64_t training_ms_max = 0;
  int64_t network_ms_max = 0;
  int64_t heartbeat_ms = 5000;
  int64_t start_unix_ms = 1'700'000'000'000;
};

Scenario DrawScenario(uint64_t seed);
std::string SiteName(int site);  // in the order of the numbers

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_SCENARIO_H_
