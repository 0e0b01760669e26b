// What an encoded parameter vector says of itself before its elements: 128 bytes.
//
//   offset  0  "weftvec1"
//           8  u32 encoding      1 parameters_fp32, 2 delta_bf16, 3 delta_int8, 4 delta_int4,
//                                5 topk_int4
//          12  u32 block_size    elements that share grid parameters; 1: none do
//          16  u64 element_count
//          24  u32 fragment
//          28  u32 fragment_count
//          32  32 bytes          layout digest
//          64  32 bytes          blob digest of the base that a delta is against; zeros: absolute
//          96  u32 kept          topk_int4: elements of a block that travel; otherwise 0
//         100  28 bytes          zeros
//         128  elements          little-endian; element_codec.h
//
// A header has one form only: unused bytes are zero, and the block size is the encoding's. All
// functions are pure.
#ifndef WEFT_MODEL_PARAMETERS_VECTOR_HEADER_H_
#define WEFT_MODEL_PARAMETERS_VECTOR_HEADER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/digest.h"

namespace weft {

enum class Encoding : uint32_t {
  kParametersFp32 = 1,
  kDeltaBf16 = 2,
  kDeltaInt8 = 3,
  kDeltaInt4 = 4,
  kTopkInt4 = 5,
};

// An encoding with its grid parameters. An encoding that has none is its own format.
struct VectorFormat {
  Encoding encoding;
  uint32_t kept;  // topk_int4: 1 to a quarter of the block; otherwise 0

  VectorFormat(Encoding encoding, uint32_t kept = 0) : encoding(encoding), kept(kept) {}
  friend bool operator==(const VectorFormat&, const VectorFormat&) = default;
};

absl::StatusOr<Encoding> EncodingFromName(absl::string_view name);
absl::string_view EncodingName(VectorFormat format);
bool IsDelta(VectorFormat format);

// What a manifest says (Encodings). The density, above 0 and at most 0.25, is topk_int4's, and is
// not looked at for another encoding, because the two directions of a run share it.
absl::StatusOr<VectorFormat> FormatFromName(absl::string_view name, double topk_density);
// For people: the name, and "8 of 256" where elements stay behind.
std::string FormatWords(VectorFormat format);

inline constexpr uint64_t kVectorHeaderBytes = 128;

struct VectorHeader {
  VectorFormat encoding = Encoding::kParametersFp32;
  uint64_t element_count = 0;
  uint32_t fragment = 0;
  uint32_t fragment_count = 1;
  Digest layout{};
  Digest base{};  // zeros unless IsDelta(encoding)
};

std::string PrintVectorHeader(const VectorHeader& header);  // 128 bytes
// InvalidArgument with what is wrong.
absl::StatusOr<VectorHeader> ParseVectorHeader(absl::string_view bytes);

// Elements that share grid parameters; elements are encoded, decoded and read from a multiple of it
// on. It divides 256.
uint64_t BlockSize(VectorFormat format);
// Of so many elements from the beginning of a block on, without a header.
uint64_t ElementBytes(VectorFormat format, uint64_t element_count);
// Header and elements.
uint64_t EncodedBytes(VectorFormat format, uint64_t element_count);
// Where element `begin`, the first of a block or one past the last, lies in the encoded bytes.
uint64_t EncodedOffset(VectorFormat format, uint64_t begin);

}  // namespace weft

#endif  // WEFT_MODEL_PARAMETERS_VECTOR_HEADER_H_
