#include "tests/simulation/faults.h"

namespace weft::simulation {

const char* FaultName(Fault fault) {
  static constexpr const char* kNames[kFaultKinds] = {
      "message_lost", "message_delayed",   "message_doubled",   "stream_broken", "partition",
      "clock_jump",   "coordinator_crash", "gate_crash",        "worker_crash",  "crash_in_step",
      "disk_error",   "file_corrupted",    "unsynced_lost",     "slow_training", "unusable_vector",
      "loss_rose",    "site_gone",         "site_late",         "revoked",       "take_over",
      "paused",       "no_evaluation",     "consensus_refused", "hostile_act"};
  return kNames[static_cast<size_t>(fault)];
}

}  // namespace weft::simulation
