// The vectors that an order names, read from the site directory, and whether two orders name the
// same work. Functions of their arguments and of files.
//
//   absl::StatusOr<Bases> bases =
//       ReadBases(site, order, trainer->layout(), trainer->WantedFragments(order));
#ifndef WEFT_WORKER_TRAINING_ORDER_BASES_H_
#define WEFT_WORKER_TRAINING_ORDER_BASES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_layout.h"
#include "proto/site.pb.h"
#include "worker/site/site_directory.h"
#include "worker/training/base_mixer.h"

namespace weft {

// Whether what was done for one order counts for the other. Another epoch is no other work, nor is
// another number of steps that are enough.
bool SameWork(const RoundOrder& a, const RoundOrder& b);

// `wanted` are fragments; 0, where the vector travels whole, is the base. NotFound names the blob
// that is not there (yet).
absl::StatusOr<Bases> ReadBases(const SiteDirectory& site, const RoundOrder& order,
                                const ParameterLayout& layout, absl::Span<const uint32_t> wanted);

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_ORDER_BASES_H_
