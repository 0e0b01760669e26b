// A site's contribution to a round: its vector encoded as a blob in the gate's own folder, and the
// statement about it, signed with the site's key. Both are on disk before anything is sent, so that
// a resume sends the same bytes.
//
//   auto formed = FormContribution(context, round, result);
//   formed->blob; formed->chunk_sha256s; formed->signed_statement;
//
// Forming the same twice gives the same blob, bit for bit; the statement of a round is signed once
// and then reused, because an ECDSA signature differs each time.
#ifndef WEFT_WORKER_GATE_CONTRIBUTION_H_
#define WEFT_WORKER_GATE_CONTRIBUTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/parameters/parameter_codec.h"
#include "ops/identity.h"
#include "proto/blob_directory.h"
#include "proto/coordinator.pb.h"
#include "proto/site.pb.h"

namespace weft {

struct FormedContribution {
  Digest blob{};
  uint64_t blob_bytes = 0;
  std::string signed_statement;  // JSON
  std::string chunk_sha256s;     // 32 bytes a chunk, in order
};

struct ContributionContext {
  const Identity* identity = nullptr;
  MessageContext context;  // of the statement: its session is left out
  Encoding encoding = Encoding::kParametersFp32;
  Digest layout{};
  const BlobDirectory* site_blobs = nullptr;  // bases and site vectors
  const BlobDirectory* own_blobs = nullptr;   // encoded contributions
  std::string statement_folder;
};

// DataLoss, NotFound or InvalidArgument where the worker's vector or the base cannot be used.
absl::StatusOr<FormedContribution> FormContribution(const ContributionContext& context,
                                                    const RoundEvent& round,
                                                    const RoundResult& result);

// The contribution of a round as it lies on disk. DataLoss where blob or statement is damaged: form
// it again.
absl::StatusOr<FormedContribution> LoadContribution(const ContributionContext& context,
                                                    const RoundEvent& round);

// Removes every encoded contribution, and the statements of rounds before `round`: called when a
// round with a new base begins, when none of them can be wanted any more.
absl::Status RemoveContributions(const ContributionContext& context, uint64_t round);

}  // namespace weft

#endif  // WEFT_WORKER_GATE_CONTRIBUTION_H_
