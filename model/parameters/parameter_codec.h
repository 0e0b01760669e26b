// A parameter vector as bytes: a header of 128 bytes that says everything needed to read it, then
// the elements.
//
//   offset  0  "weftvec1"
//           8  u32 encoding      1 parameters_fp32, 2 delta_bf16
//          12  u32 block_size    elements that share grid parameters; 1: none do
//          16  u64 element_count
//          24  u32 fragment
//          28  u32 fragment_count
//          32  32 bytes          layout digest
//          64  32 bytes          blob digest of the base that a delta is against; zeros: absolute
//          96  32 bytes          zeros
//         128  elements          little-endian
//
// parameters_fp32: the vector itself. delta_bf16: bf16(x - base), round to nearest even; decoded:
// fp32(base + delta), added in fp32. The *decoded* vector is what a blob means, at every end.
// Infinities and NaN are refused when encoding and when decoding. All functions are pure and have
// the same bytes out on every machine.
#ifndef WEFT_MODEL_PARAMETERS_PARAMETER_CODEC_H_
#define WEFT_MODEL_PARAMETERS_PARAMETER_CODEC_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_vector.h"
#include "proto/blob_directory.h"
#include "proto/digest.h"

namespace weft {

enum class Encoding : uint32_t { kParametersFp32 = 1, kDeltaBf16 = 2 };

absl::StatusOr<Encoding> EncodingFromName(absl::string_view name);
absl::string_view EncodingName(Encoding encoding);
bool IsDelta(Encoding encoding);

inline constexpr uint64_t kVectorHeaderBytes = 128;

struct VectorHeader {
  Encoding encoding = Encoding::kParametersFp32;
  uint64_t element_count = 0;
  uint32_t fragment = 0;
  uint32_t fragment_count = 1;
  Digest layout{};
  Digest base{};  // zeros unless IsDelta(encoding)
};

std::string PrintVectorHeader(const VectorHeader& header);  // 128 bytes
absl::StatusOr<VectorHeader> ParseVectorHeader(absl::string_view bytes);
// Header and elements.
uint64_t EncodedBytes(Encoding encoding, uint64_t element_count);
// Where element `begin` lies in the encoded bytes.
uint64_t EncodedOffset(Encoding encoding, uint64_t begin);

// Elements of `x` (and of `base`, empty unless IsDelta) to bytes appended to `out`.
// InvalidArgument naming the first element that is not finite (`first` is the number of x[0] in the
// vector).
absl::Status EncodeElements(Encoding encoding, absl::Span<const float> x,
                            absl::Span<const float> base, uint64_t first, std::string* out);
// Requires bytes.size() to be what out.size() elements take. `base` as above; in place (out ==
// base) is allowed.
absl::Status DecodeElements(Encoding encoding, absl::string_view bytes,
                            absl::Span<const float> base, uint64_t first, absl::Span<float> out);

// Whole vectors through a folder of blobs, a block at a time.
absl::StatusOr<Digest> WriteVector(const BlobDirectory& blobs, const VectorHeader& header,
                                   absl::Span<const float> x, absl::Span<const float> base);

// Reads parts of an encoded vector file. Thread-compatible.
class VectorReader {
 public:
  // Checks the header and the file's length against it. NotFound, or DataLoss with what was
  // expected.
  static absl::StatusOr<VectorReader> Open(const std::string& path);
  VectorReader(VectorReader&&) noexcept;
  VectorReader& operator=(VectorReader&&) noexcept;
  ~VectorReader();

  const VectorHeader& header() const { return header_; }
  // Decodes elements [begin, begin + out.size()). `base` holds the same elements of the base, or is
  // empty.
  absl::Status Read(uint64_t begin, absl::Span<const float> base, absl::Span<float> out);

 private:
  VectorReader(std::string path, int fd, VectorHeader header)
      : path_(std::move(path)), fd_(fd), header_(header) {}
  std::string path_;
  int fd_ = -1;
  VectorHeader header_;
  std::string buffer_;
};

// The whole vector of a parameters_fp32 file of this layout; another layout is InvalidArgument with
// both digests.
absl::StatusOr<ParameterVector> ReadParameters(const std::string& path, const Digest& layout);

}  // namespace weft

#endif  // WEFT_MODEL_PARAMETERS_PARAMETER_CODEC_H_
