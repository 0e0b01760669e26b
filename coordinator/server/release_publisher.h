// Writes a release: the consensus as a model that anyone can load, with everything needed to check
// where it came from.
//
//   RELEASES/round-000008/   model.safetensors config.json generation_config.json, the tokenizer's
//   files,
//                            README.md (model card) LICENSE run_manifest.textproto
//                            rounds.jsonl         a round a line: cohort, refusals, weights, norms,
//                            digests, bytes, times training_log.jsonl   a round a line: the scalars
//                            that the sites report SHA256SUMS           of all the others
//
// The folder is there whole or not at all. Any thread; one publisher a folder.
#ifndef WEFT_COORDINATOR_SERVER_RELEASE_PUBLISHER_H_
#define WEFT_COORDINATOR_SERVER_RELEASE_PUBLISHER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/core/round_state.pb.h"
#include "proto/run_manifest.pb.h"

namespace weft {

struct Release {
  uint64_t version = 0;
  std::string digest;       // hex, of the consensus
  std::string vector_path;  // parameters_fp32
  std::string layout_digest;
  std::vector<RoundRecord> rounds;  // those that made it
  std::vector<SiteReport> reports;
};

// RELEASES/round-000008.
std::string ReleaseFolder(const std::string& releases, uint64_t version);

// OK at once where the release is there already.
absl::Status WriteRelease(const std::string& releases, const RunManifest& manifest,
                          const std::string& manifest_text, const std::string& tokenizer_folder,
                          const Release& release);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_RELEASE_PUBLISHER_H_
