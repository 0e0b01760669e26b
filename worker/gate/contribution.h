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
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/identity.h"
#include "proto/coordinator.pb.h"
#include "proto/site.pb.h"
#include "worker/gate/site_vectors.h"

namespace weft {

struct FormedContribution {
  Digest blob{};
  uint64_t blob_bytes = 0;
  std::string signed_statement;  // JSON
  std::string chunk_sha256s;     // 32 bytes a chunk, in order
  // What the site holds next if it is included; only where it was formed now.
  std::optional<Digest> residual, sent;
  double primal_residual = 0;  // with_dual: ||x - z||
};

struct ContributionContext {
  const Identity* identity = nullptr;
  MessageContext context;  // of the statement: its session is left out
  SiteVectors vectors;     // bases and site vectors; encoded contributions and what the site keeps
  std::string statement_folder;
  // By the manifest.
  VectorFormat encoding = Encoding::kParametersFp32;
  double residual_kept = 0;
  bool with_dual = false;
  bool with_validation = false;  // the losses on held-out text are asked for
};

// The gate's own vectors that go into it (ContributionParts). A damaged residual is left out, with
// a warning: what encodings have lost is then lost for good, and nothing else.
struct KeptVectors {
  std::optional<Digest> residual, dual;
  Digest sent{};
  // The blob that was formed of this work before. Where it is whole, only the statement is made
  // anew: what went into it may be lost since.
  std::optional<Digest> formed;
  double formed_primal_residual = 0;
};

// DataLoss, NotFound or InvalidArgument where the worker's vector or the base cannot be used.
absl::StatusOr<FormedContribution> FormContribution(const ContributionContext& context,
                                                    const RoundEvent& round,
                                                    const RoundResult& result,
                                                    const KeptVectors& kept = {});

// The contribution of a round as it lies on disk. DataLoss where blob or statement is damaged: form
// it again.
absl::StatusOr<FormedContribution> LoadContribution(const ContributionContext& context,
                                                    const RoundEvent& round);

// Removes every blob of the gate's own folder but `keep` (hex), and the statements of rounds before
// `round`: called when a round with a new base begins, when no contribution so far can be wanted
// any more.
absl::Status RemoveContributions(const ContributionContext& context, uint64_t round,
                                 const std::vector<std::string>& keep = {});

}  // namespace weft

#endif  // WEFT_WORKER_GATE_CONTRIBUTION_H_
