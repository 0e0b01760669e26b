// A whole vector cut into the blobs in which it travels, and put together again. A fragment is a
// parameters_fp32 vector whose header says which of how many it is (fragment_range.h: where it
// lies).
//
//   auto digests = *WriteFragments(blobs, layout, vector.span(), 4);
//   Digest whole = *AssembleFragments(blobs, digests, blobs);
#ifndef WEFT_MODEL_PARAMETERS_FRAGMENTS_H_
#define WEFT_MODEL_PARAMETERS_FRAGMENTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_directory.h"
#include "proto/digest.h"

namespace weft {

// What the header of a fragment says.
VectorHeader FragmentHeader(const Digest& layout, uint64_t element_count, uint32_t count,
                            uint32_t fragment);

// In the order of the fragments.
absl::StatusOr<std::vector<Digest>> WriteFragments(const BlobDirectory& blobs, const Digest& layout,
                                                   absl::Span<const float> vector, uint32_t count);

// The whole vector, as parameters_fp32, into `to`. NotFound or DataLoss where a fragment is missing
// or is not the one that its place asks for; nothing is made of it then.
absl::StatusOr<Digest> AssembleFragments(const BlobDirectory& from,
                                         absl::Span<const Digest> fragments,
                                         const BlobDirectory& to);

}  // namespace weft

#endif  // WEFT_MODEL_PARAMETERS_FRAGMENTS_H_
