// The elements of a parameter vector as bytes and back, in each encoding of vector_header.h.
//
//   parameters_fp32   x itself
//   delta_bf16        bf16(x - base), round to nearest even; decoded: fp32(base + delta)
//   delta_int8        |  blocks of 256, 64 and 256 elements from the beginning of the vector on,
//   delta_int4        |  each with its scale: kernels/quantize_blocks.h draws them and says how
//   topk_int4         |  numbers are rounded; decoded: fp32(base + level x scale)
//
// The *decoded* vector is what a blob means, at every end. Infinities and NaN are refused when
// encoding and when decoding, and so is a block that the encoder does not make: what can be decoded
// has one form. All functions are pure and have the same bytes out on every machine.
#ifndef WEFT_MODEL_PARAMETERS_ELEMENT_CODEC_H_
#define WEFT_MODEL_PARAMETERS_ELEMENT_CODEC_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/parameters/vector_header.h"

namespace weft {

// Elements of `x` (and of `base`, empty unless IsDelta) to bytes appended to `out`. `first` is the
// number of x[0] in the vector, a multiple of BlockSize(format); only the vector's end may cut a
// block. InvalidArgument naming the first element that is not finite, or whose change is beyond
// what the encoding holds.
absl::Status EncodeElements(VectorFormat format, absl::Span<const float> x,
                            absl::Span<const float> base, uint64_t first, std::string* out);
// Requires bytes.size() to be ElementBytes(format, out.size()). `first` and `base` as above; in
// place (out == base) is allowed. InvalidArgument naming the element that is not finite, or the
// block and what is wrong with it; what is in `out` is then of no use.
absl::Status DecodeElements(VectorFormat format, absl::string_view bytes,
                            absl::Span<const float> base, uint64_t first, absl::Span<float> out);

}  // namespace weft

#endif  // WEFT_MODEL_PARAMETERS_ELEMENT_CODEC_H_
