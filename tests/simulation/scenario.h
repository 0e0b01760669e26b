// What a seed stands for: the run's rules, its sites, and how much goes wrong until when.
//
//   const Scenario scenario = DrawScenario(17);
//
// Most federations are small; one in fifty has a hundred sites or more, one in fifty hundreds of
// rounds. The quorum can be reached without the hostile sites and without those that go for good.
// More than half of the runs have rounds with a barrier; the others have none (delayed, elastic),
// duals, or fragments. What a manifest may not say (ops/consensus_check.cc) is not drawn.
#ifndef WEFT_TESTS_SIMULATION_SCENARIO_H_
#define WEFT_TESTS_SIMULATION_SCENARIO_H_

#include <cstdint>
#include <string>

#include "model/parameters/fragment_range.h"
#include "model/parameters/parameter_codec.h"
#include "proto/round_schedule.h"
#include "proto/run_manifest.pb.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/vectors.h"

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
  VectorFormat up = Encoding::kParametersFp32;
  VectorFormat down = Encoding::kParametersFp32;
  FaultRates rates{};
  int64_t trouble_every_ms = 0;  // mean time between crashes, partitions and the like
  int64_t faults_end_ms = 0;
  int64_t training_ms_max = 0;
  int64_t network_ms_max = 0;
  int64_t heartbeat_ms = 5000;
  int64_t start_unix_ms = 1'700'000'000'000;

  uint32_t fragments() const { return FragmentCount(manifest.consensus()); }
  FragmentRange range(uint32_t fragment) const {
    return RangeOfFragment(elements, fragments(), fragment);
  }
  Part part(uint32_t fragment) const { return {fragment, fragments()}; }
};

Scenario DrawScenario(uint64_t seed);
void DrawConsensusScheme(Scenario* scenario);  // of it: scheme.cc
std::string SiteName(int site);                // in the order of the numbers

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_SCENARIO_H_
