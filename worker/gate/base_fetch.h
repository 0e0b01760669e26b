// Brings a consensus into the site directory: by its delta where the site holds the version before,
// whole otherwise. What arrives is used only if its digest is the one that the round names.
#ifndef WEFT_WORKER_GATE_BASE_FETCH_H_
#define WEFT_WORKER_GATE_BASE_FETCH_H_

#include <string>

#include "absl/status/statusor.h"
#include "proto/blob_directory.h"
#include "proto/coordinator.pb.h"
#include "worker/gate/coordinator_client.h"

namespace weft {

struct BaseFetch {
  CoordinatorClient* client = nullptr;
  const BlobDirectory* site_blobs = nullptr;
  std::string partial_folder;  // of blobs on their way; survives a restart
  Digest layout{};
};

// Refusal NONE: blob round.base_digest() lies in site_blobs, checked; or, where the vector travels
// in parts, all of round.fragments(). With `delta`, tries that first where its base lies there, and
// takes the whole if the delta is not to be had or does not lead to what is wanted.
absl::StatusOr<Refusal> FetchConsensus(const BaseFetch& fetch, const RoundEvent& round, bool delta);

}  // namespace weft

#endif  // WEFT_WORKER_GATE_BASE_FETCH_H_
