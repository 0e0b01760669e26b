// Small vectors as the blobs that travel, through the real codec; and the training of a simulated
// site, a deterministic function of (seed, site, base and its version). Pure.
#ifndef WEFT_TESTS_SIMULATION_VECTORS_H_
#define WEFT_TESTS_SIMULATION_VECTORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_codec.h"

namespace weft::simulation {

using Vector = std::vector<float>;

const Digest& Layout();  // of every vector here

// Which fragment of how many a vector is.
struct Part {
  uint32_t fragment = 0;
  uint32_t count = 1;
};

// `base` and `base_digest` (bytes) are empty unless the encoding is a delta. InvalidArgument when a
// value is not finite.
absl::StatusOr<std::string> EncodeBlob(VectorFormat format, absl::Span<const float> x,
                                       absl::Span<const float> base, const std::string& base_digest,
                                       Part part = {});
// InvalidArgument or DataLoss: not a blob of ours, of another length or base, or not finite.
absl::StatusOr<Vector> DecodeBlob(VectorFormat format, absl::string_view blob, uint64_t elements,
                                  absl::Span<const float> base, const std::string& base_digest,
                                  Part part = {});
// As parameters_fp32. Requires finite values.
std::string PlainBlob(absl::Span<const float> x, Part part);
// Of as many elements as it says that it has.
absl::StatusOr<Vector> ReadPlainBlob(absl::string_view blob, Part part);
std::string DigestOf(absl::string_view blob);  // bytes

Vector InitialVector(uint64_t seed, uint64_t elements);
// Whether training from that base makes a site worse on its own held-out text: one time in 25.
bool LossRises(uint64_t seed, absl::string_view site, uint64_t base_version);
// A move of some 0.1 in every element, the same whenever it is asked for.
Vector Train(uint64_t seed, absl::string_view site, uint64_t base_version,
             absl::Span<const float> base);

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_VECTORS_H_
