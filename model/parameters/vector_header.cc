#include "model/parameters/vector_header.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/quantize_blocks.h"
#include "proto/check.h"

namespace weft {
namespace {

static_assert(std::endian::native == std::endian::little,
              "blobs are little-endian and are read as they lie");

constexpr absl::string_view kMagic = "weftvec1";
constexpr uint64_t kElementsMax = uint64_t{1} << 40;
constexpr double kDensityMax = 0.25;  // the largest has kTopkKeptMax of a block

struct EncodingEntry {
  Encoding encoding;
  absl::string_view name;
  uint32_t block_size;
  bool is_delta;
  uint64_t (*bytes)(uint64_t element_count, uint32_t kept);
};
constexpr EncodingEntry kEncodings[] = {
    {Encoding::kParametersFp32, "parameters_fp32", 1, false,
     [](uint64_t n, uint32_t) { return n * 4; }},
    {Encoding::kDeltaBf16, "delta_bf16", 1, true, [](uint64_t n, uint32_t) { return n * 2; }},
    {Encoding::kDeltaInt8, "delta_int8", kernels::kInt8Block, true,
     [](uint64_t n, uint32_t) -> uint64_t { return kernels::Int8Bytes(n); }},
    {Encoding::kDeltaInt4, "delta_int4", kernels::kInt4Block, true,
     [](uint64_t n, uint32_t) -> uint64_t { return kernels::Int4Bytes(n); }},
    {Encoding::kTopkInt4, "topk_int4", kernels::kTopkBlock, true,
     [](uint64_t n, uint32_t kept) -> uint64_t { return kernels::TopkBytes(n, kept); }},
};

const EncodingEntry& EntryOf(VectorFormat format) {
  for (const EncodingEntry& entry : kEncodings) {
    if (entry.encoding == format.encoding) return entry;
  }
  WEFT_CHECK(false);
  return kEncodings[0];
}

bool KeptIsValid(VectorFormat format) {
  if (format.encoding != Encoding::kTopkInt4) return format.kept == 0;
  return format.kept >= 1 && format.kept <= kernels::kTopkKeptMax;
}

template <class T>
void Put(T value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T Get(absl::string_view bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

absl::StatusOr<VectorFormat> ParseFormat(uint32_t number, uint32_t block_size, uint32_t kept) {
  const auto* entry = std::find_if(
      std::begin(kEncodings), std::end(kEncodings),
      [&](const EncodingEntry& e) { return static_cast<uint32_t>(e.encoding) == number; });
  if (entry == std::end(kEncodings))
    return absl::InvalidArgumentError(
        absl::StrCat("a vector in the unknown encoding number ", number));
  if (block_size != entry->block_size)
    return absl::InvalidArgumentError(absl::StrCat("a vector in ", entry->name, " with blocks of ",
                                                   block_size, "; its blocks are of ",
                                                   entry->block_size));
  const VectorFormat format(entry->encoding, kept);
  if (!KeptIsValid(format))
    return absl::InvalidArgumentError(absl::StrCat(
        "a vector in ", entry->name, " of which ", kept, " elements of a block travel; expected ",
        entry->encoding == Encoding::kTopkInt4 ? absl::StrCat("are 1 to ", kernels::kTopkKeptMax)
                                               : "is 0"));
  return format;
}

}  // namespace

absl::StatusOr<Encoding> EncodingFromName(absl::string_view name) {
  std::string known;
  for (const EncodingEntry& entry : kEncodings) {
    if (entry.name == name) return entry.encoding;
    absl::StrAppend(&known, known.empty() ? "" : ", ", entry.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown encoding '", name, "'; known: ", known));
}

absl::string_view EncodingName(VectorFormat format) { return EntryOf(format).name; }
bool IsDelta(VectorFormat format) { return EntryOf(format).is_delta; }
uint64_t BlockSize(VectorFormat format) { return EntryOf(format).block_size; }

absl::StatusOr<VectorFormat> FormatFromName(absl::string_view name, double topk_density) {
  const absl::StatusOr<Encoding> encoding = EncodingFromName(name);
  if (!encoding.ok()) return encoding.status();
  if (*encoding != Encoding::kTopkInt4) return *encoding;
  if (!(topk_density > 0 && topk_density <= kDensityMax))
    return absl::InvalidArgumentError(absl::StrCat("topk_int4 at a density of ", topk_density,
                                                   "; expected is above 0, at most ", kDensityMax));
  const double kept = std::round(topk_density * static_cast<double>(kernels::kTopkBlock));
  return VectorFormat(*encoding, std::max(1u, static_cast<uint32_t>(kept)));
}

std::string FormatWords(VectorFormat format) {
  std::string words(EncodingName(format));
  if (format.kept != 0) absl::StrAppend(&words, ", ", format.kept, " of ", BlockSize(format));
  return words;
}

uint64_t ElementBytes(VectorFormat format, uint64_t element_count) {
  WEFT_CHECK(KeptIsValid(format));
  return EntryOf(format).bytes(element_count, format.kept);
}
uint64_t EncodedOffset(VectorFormat format, uint64_t begin) {
  return kVectorHeaderBytes + ElementBytes(format, begin);
}
uint64_t EncodedBytes(VectorFormat format, uint64_t element_count) {
  return EncodedOffset(format, element_count);
}

std::string PrintVectorHeader(const VectorHeader& header) {
  std::string bytes(kMagic);
  Put(static_cast<uint32_t>(header.encoding.encoding), &bytes);
  Put(EntryOf(header.encoding).block_size, &bytes);
  Put(header.element_count, &bytes);
  Put(header.fragment, &bytes);
  Put(header.fragment_count, &bytes);
  bytes += ToBytes(header.layout);
  bytes += ToBytes(header.base);
  Put(header.encoding.kept, &bytes);
  bytes.resize(kVectorHeaderBytes, '\0');
  return bytes;
}

absl::StatusOr<VectorHeader> ParseVectorHeader(absl::string_view bytes) {
  if (bytes.size() < kVectorHeaderBytes || bytes.substr(0, kMagic.size()) != kMagic) {
    return absl::InvalidArgumentError(
        "not a parameter vector: it does not begin with a weftvec1 header of 128 bytes");
  }
  const absl::StatusOr<VectorFormat> format =
      ParseFormat(Get<uint32_t>(bytes, 8), Get<uint32_t>(bytes, 12), Get<uint32_t>(bytes, 96));
  if (!format.ok()) return format.status();
  VectorHeader header;
  header.encoding = *format;
  header.element_count = Get<uint64_t>(bytes, 16);
  header.fragment = Get<uint32_t>(bytes, 24);
  header.fragment_count = Get<uint32_t>(bytes, 28);
  header.layout = *DigestFromBytes(bytes.substr(32, 32));
  header.base = *DigestFromBytes(bytes.substr(64, 32));
  if (header.element_count > kElementsMax)
    return absl::InvalidArgumentError("a vector of more than 2^40 elements");
  if (header.fragment >= header.fragment_count)
    return absl::InvalidArgumentError("a vector's fragment is not below its fragment count");
  if (PrintVectorHeader(header) != bytes.substr(0, kVectorHeaderBytes)) {
    return absl::InvalidArgumentError("a vector header with bytes set that are not used");
  }
  if (!IsDelta(header.encoding) && header.base != Digest{})
    return absl::InvalidArgumentError("an absolute vector that names a base");
  return header;
}

}  // namespace weft
