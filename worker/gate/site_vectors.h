// The arithmetic of a site's side of the consensus: what its contribution is made of, and the
// vectors that it keeps between rounds (what encodings have lost, the dual of ADMM). Vectors are
// blobs, named by digest, read and written a block at a time; equal inputs give equal bytes, on
// every machine.
//
//   const SiteVectors vectors{&site_blobs, &own_blobs, layout};
//   auto encoded = EncodeContribution(vectors, {.encoding = Encoding::kDeltaBf16, .vector = x,
//                                               .base = z, .residual = e, .residual_kept = 1});
//   encoded->blob; encoded->residual_next;     // e of the next, once this one has counted
//
// x: the site vector. z: the round's base. u: the dual. a = x + u, and `sent` is the a that the
// coordinator has. All are parameters_fp32, whole or the same fragment. No identity, network, clock
// or state. Thread-safe on distinct folders.
#ifndef WEFT_WORKER_GATE_SITE_VECTORS_H_
#define WEFT_WORKER_GATE_SITE_VECTORS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_directory.h"
#include "proto/digest.h"
#include "proto/run_manifest.pb.h"

namespace weft {

// Where they lie, and of which layout all of them are.
struct SiteVectors {
  const BlobDirectory* site = nullptr;  // bases, site vectors, anchors: shared with the worker
  const BlobDirectory* own = nullptr;   // encoded contributions, residuals, duals, what was sent
  Digest layout{};
};

// What is sent is Encode(x + e), or with a dual Encode(z + (x + u) - sent): the change of x + u
// since the coordinator's, as a vector against the base (Boyd et al. 2011, section 7).
struct ContributionParts {
  VectorFormat encoding = Encoding::kParametersFp32;
  Digest vector{};                 // x
  Digest base{};                   // z
  std::optional<Digest> residual;  // e; none: zeros
  double residual_kept = 0;        // of what encoding loses now; 0: no error feedback
  bool with_dual = false;
  std::optional<Digest> dual;  // u; none: zeros
  Digest sent{};               // with_dual only
};

struct EncodedContribution {
  Digest blob{};
  // What the site holds next, if this contribution is included; none: as before.
  std::optional<Digest> residual;
  std::optional<Digest> sent;  // sent + (decoded - z): what encoding lost is in the next change
  double primal_residual = 0;  // with_dual: ||x - z||
};

// How much of what an encoding has lost goes with the next contribution: e = kept (x + e - Q).
// 1 where the site takes the new consensus whole. Where it takes only alpha of it, 1 - alpha of
// what was lost is still in its own vector, and so in its next change: alpha. Where a site's vector
// does not move by what arrives (mix_with previous, elastic exchange, ADMM) all of it still is: 0.
// And 0 for an encoding that loses nothing.
double ResidualKept(const ConsensusScheme& scheme, VectorFormat encoding);

// Everything that it names is on disk, synced. NotFound, DataLoss or InvalidArgument where a vector
// cannot be used; InvalidArgument where one is not finite.
absl::StatusOr<EncodedContribution> EncodeContribution(const SiteVectors& vectors,
                                                       const ContributionParts& parts);

// z - u, which the pull of ADMM goes to, into the site folder.
absl::StatusOr<Digest> WriteAnchor(const SiteVectors& vectors, const Digest& base,
                                   const Digest& dual);

// (u + x - z) * scale, into the own folder: the dual's step after a contribution has counted, z
// being the consensus that came of it; scale is rho before / rho now (Boyd et al. 2011, section
// 3.4.1). Without x: u * scale.
struct DualStep {
  std::optional<Digest> dual;    // none: zeros
  std::optional<Digest> vector;  // x of the contribution that counted
  Digest base{};                 // z
  double scale = 1;
};
absl::StatusOr<Digest> StepDual(const SiteVectors& vectors, const DualStep& step);

// The blob `digest` of the site folder, into the own folder too.
absl::Status KeepVector(const SiteVectors& vectors, const Digest& digest);

}  // namespace weft

#endif  // WEFT_WORKER_GATE_SITE_VECTORS_H_
