#include "model/parameters/element_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/quantize.h"
#include "kernels/quantize_blocks.h"
#include "kernels/vector_ops.h"
#include "proto/check.h"

namespace weft {
namespace {

using kernels::BlockFault;

absl::Status NotFinite(uint64_t element, float value) {
  return absl::InvalidArgumentError(
      absl::StrCat("element ", element, " of the vector is not finite (", value, ")"));
}

absl::Status CheckFinite(absl::Span<const float> x, uint64_t first) {
  const size_t at = kernels::FirstNotFinite(x.data(), x.size());
  return at == x.size() ? absl::OkStatus() : NotFinite(first + at, x[at]);
}

absl::Status EncodeFp32(absl::Span<const float> x, uint64_t first, std::string* out) {
  if (absl::Status status = CheckFinite(x, first); !status.ok()) return status;
  out->append(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(float));
  return absl::OkStatus();
}

absl::Status EncodeBf16(absl::Span<const float> x, absl::Span<const float> base, uint64_t first,
                        std::string* out) {
  if (absl::Status status = CheckFinite(x, first); !status.ok()) return status;
  std::vector<uint16_t> delta(x.size());
  kernels::EncodeDeltaBf16(x.data(), base.data(), x.size(), delta.data());
  const auto overflowed =
      std::find_if(delta.begin(), delta.end(), [](uint16_t d) { return (d & 0x7f80) == 0x7f80; });
  if (overflowed != delta.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the change of element ", first + (overflowed - delta.begin()), " is beyond bf16"));
  }
  out->append(reinterpret_cast<const char*>(delta.data()), delta.size() * sizeof(uint16_t));
  return absl::OkStatus();
}

// The encodings in blocks: one of three kernels, all with the same contract.
size_t EncodeBlocks(VectorFormat format, const float* x, const float* base, size_t n,
                    uint8_t* bytes) {
  switch (format.encoding) {
    case Encoding::kDeltaInt8:
      return kernels::EncodeDeltaInt8(x, base, n, bytes);
    case Encoding::kDeltaInt4:
      return kernels::EncodeDeltaInt4(x, base, n, bytes);
    default:
      WEFT_CHECK(format.encoding == Encoding::kTopkInt4);
      return kernels::EncodeTopkInt4(x, base, n, format.kept, bytes);
  }
}

size_t DecodeBlocks(VectorFormat format, const uint8_t* bytes, const float* base, size_t n,
                    float* x) {
  switch (format.encoding) {
    case Encoding::kDeltaInt8:
      return kernels::DecodeDeltaInt8(bytes, base, n, x);
    case Encoding::kDeltaInt4:
      return kernels::DecodeDeltaInt4(bytes, base, n, x);
    default:
      WEFT_CHECK(format.encoding == Encoding::kTopkInt4);
      return kernels::DecodeTopkInt4(bytes, base, n, format.kept, x);
  }
}

BlockFault FaultOfBlock(VectorFormat format, const uint8_t* block, size_t n) {
  switch (format.encoding) {
    case Encoding::kDeltaInt8:
      return kernels::FaultOfInt8Block(block, n);
    case Encoding::kDeltaInt4:
      return kernels::FaultOfInt4Block(block, n);
    default:
      WEFT_CHECK(format.encoding == Encoding::kTopkInt4);
      return kernels::FaultOfTopkBlock(block, n, format.kept);
  }
}

absl::string_view FaultWords(BlockFault fault) {
  switch (fault) {
    case BlockFault::kScale:
      return "its scale is neither 0 nor a positive number of the encoding's precision";
    case BlockFault::kLevel:
      return "its largest level is not the encoding's largest (0 where the scale is 0)";
    case BlockFault::kIndex:
      return "its indices do not ascend within the block, or one of level 0 is not the lowest free";
    case BlockFault::kPadding:
      return "the unused half of its last byte is not zero";
    case BlockFault::kNone:
      break;
  }
  WEFT_CHECK(false);
  return "";
}

}  // namespace

absl::Status EncodeElements(VectorFormat format, absl::Span<const float> x,
                            absl::Span<const float> base, uint64_t first, std::string* out) {
  WEFT_CHECK(base.size() == (IsDelta(format) ? x.size() : 0));
  WEFT_CHECK(first % BlockSize(format) == 0);
  if (format == Encoding::kParametersFp32) return EncodeFp32(x, first, out);
  if (format == Encoding::kDeltaBf16) return EncodeBf16(x, base, first, out);
  const size_t begin = out->size();
  out->resize(begin + ElementBytes(format, x.size()));
  const size_t at = EncodeBlocks(format, x.data(), base.data(), x.size(),
                                 reinterpret_cast<uint8_t*>(out->data() + begin));
  if (at == x.size()) return absl::OkStatus();
  out->resize(begin);
  if (!std::isfinite(x[at])) return NotFinite(first + at, x[at]);
  return absl::InvalidArgumentError(absl::StrCat("the change of element ", first + at, " (from ",
                                                 base[at], " to ", x[at], ") is beyond 2^127"));
}

absl::Status DecodeElements(VectorFormat format, absl::string_view bytes,
                            absl::Span<const float> base, uint64_t first, absl::Span<float> out) {
  WEFT_CHECK(bytes.size() == ElementBytes(format, out.size()));
  WEFT_CHECK(base.size() == (IsDelta(format) ? out.size() : 0));
  WEFT_CHECK(first % BlockSize(format) == 0);
  if (out.empty()) return absl::OkStatus();  // memcpy takes no null pointer, even for no bytes
  if (format == Encoding::kParametersFp32) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
  } else if (format == Encoding::kDeltaBf16) {
    std::vector<uint16_t> delta(out.size());
    std::memcpy(delta.data(), bytes.data(), bytes.size());
    kernels::DecodeDeltaBf16(delta.data(), base.data(), out.size(), out.data());
  } else {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    const size_t at = DecodeBlocks(format, data, base.data(), out.size(), out.data());
    if (at != out.size()) {
      const size_t count = std::min<size_t>(BlockSize(format), out.size() - at);
      const BlockFault fault = FaultOfBlock(format, data + ElementBytes(format, at), count);
      return absl::InvalidArgumentError(
          absl::StrCat("elements ", first + at, " to ", first + at + count - 1, " are no block of ",
                       EncodingName(format), ": ", FaultWords(fault)));
    }
  }
  return CheckFinite(out, first);
}

}  // namespace weft
