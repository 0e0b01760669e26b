// Island mode: a site trains on its own from a run's manifest, without gate, coordinator, consensus
// or pull. It is what a site has when it takes part in nothing, the baseline that a consensus is
// compared with.
//
// Data order, learning rate and step are those of a federated run: with one site, fp32 both ways,
// alpha 1, outer SGD 1.0 and no pull, the run gives the same vector bit for bit.
//
//   OUT.training/   while it trains: checkpoints/, training_log.jsonl, worker.lock. A new start
//   goes on from there OUT/            when it is done: a Hugging Face folder with the tokenizer's
//   files and training_log.jsonl
#ifndef WEFT_WORKER_TRAINING_ISLAND_H_
#define WEFT_WORKER_TRAINING_ISLAND_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "worker/training/reporter.h"
#include "worker/training/round_runner.h"

namespace weft {

struct IslandOptions {
  std::string manifest;  // RunManifest, text format
  std::string initial;   // Hugging Face folder with the tokenizer's files
  std::string site;      // part of the data order's key
  std::string out;       // must not exist
  uint32_t steps = 0;    // 0: those of all rounds of the manifest; the schedule ends there
};

// OK when OUT is there. Cancelled when it was interrupted; a new start goes on.
absl::Status RunIsland(const IslandOptions& island, const WorkerOptions& options,
                       Reporter* reporter);

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_ISLAND_H_
