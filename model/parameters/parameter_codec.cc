#include "model/parameters/parameter_codec.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/quantize.h"
#include "kernels/vector_ops.h"
#include "proto/check.h"

namespace weft {
namespace {

static_assert(std::endian::native == std::endian::little,
              "blobs are little-endian and are read as they lie");

constexpr absl::string_view kMagic = "weftvec1";
constexpr uint64_t kElementsMax = uint64_t{1} << 40;
// Elements that are encoded, read or written at a time: 1 MiB of fp32.
constexpr uint64_t kBlockElements = uint64_t{1} << 18;

struct EncodingEntry {
  Encoding encoding;
  absl::string_view name;
  uint64_t element_bytes;
  bool is_delta;
};
constexpr EncodingEntry kEncodings[] = {
    {Encoding::kParametersFp32, "parameters_fp32", 4, false},
    {Encoding::kDeltaBf16, "delta_bf16", 2, true},
};

const EncodingEntry& EntryOf(Encoding encoding) {
  for (const EncodingEntry& entry : kEncodings) {
    if (entry.encoding == encoding) return entry;
  }
  WEFT_CHECK(false);
  return kEncodings[0];
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

absl::Status CheckFinite(absl::Span<const float> x, uint64_t first) {
  const size_t at = kernels::FirstNotFinite(x.data(), x.size());
  if (at == x.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("element ", first + at, " of the vector is not finite (", x[at], ")"));
}

absl::Status ReadExactly(int fd, uint64_t offset, std::string* bytes, const std::string& path) {
  size_t done = 0;
  while (done < bytes->size()) {
    const ssize_t got =
        pread(fd, bytes->data() + done, bytes->size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("cannot read", path);
    if (got == 0) return absl::DataLossError(absl::StrCat(path, ": ends at byte ", offset + done));
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
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

absl::string_view EncodingName(Encoding encoding) { return EntryOf(encoding).name; }
bool IsDelta(Encoding encoding) { return EntryOf(encoding).is_delta; }

uint64_t EncodedOffset(Encoding encoding, uint64_t begin) {
  return kVectorHeaderBytes + begin * EntryOf(encoding).element_bytes;
}
uint64_t EncodedBytes(Encoding encoding, uint64_t element_count) {
  return EncodedOffset(encoding, element_count);
}

std::string PrintVectorHeader(const VectorHeader& header) {
  std::string bytes(kMagic);
  Put(static_cast<uint32_t>(header.encoding), &bytes);
  Put(uint32_t{1}, &bytes);
  Put(header.element_count, &bytes);
  Put(header.fragment, &bytes);
  Put(header.fragment_count, &bytes);
  bytes += ToBytes(header.layout);
  bytes += ToBytes(header.base);
  bytes.resize(kVectorHeaderBytes, '\0');
  return bytes;
}

absl::StatusOr<VectorHeader> ParseVectorHeader(absl::string_view bytes) {
  if (bytes.size() < kVectorHeaderBytes || bytes.substr(0, kMagic.size()) != kMagic) {
    return absl::InvalidArgumentError(
        "not a parameter vector: it does not begin with a weftvec1 header of 128 bytes");
  }
  const auto number = Get<uint32_t>(bytes, 8);
  VectorHeader header;
  const auto* entry = std::find_if(
      std::begin(kEncodings), std::end(kEncodings),
      [&](const EncodingEntry& e) { return static_cast<uint32_t>(e.encoding) == number; });
  if (entry == std::end(kEncodings))
    return absl::InvalidArgumentError(
        absl::StrCat("a vector in the unknown encoding number ", number));
  header.encoding = entry->encoding;
  header.element_count = Get<uint64_t>(bytes, 16);
  header.fragment = Get<uint32_t>(bytes, 24);
  header.fragment_count = Get<uint32_t>(bytes, 28);
  header.layout = *DigestFromBytes(bytes.substr(32, 32));
  header.base = *DigestFromBytes(bytes.substr(64, 32));
  if (header.element_count > kElementsMax)
    return absl::InvalidArgumentError("a vector of more than 2^40 elements");
  if (header.fragment >= header.fragment_count)
    return absl::InvalidArgumentError("a vector's fragment is not below its fragment count");
  // What is not used must be zero, so that a header has one form only.
  if (PrintVectorHeader(header) != bytes.substr(0, kVectorHeaderBytes)) {
    return absl::InvalidArgumentError(
        "a vector header with bytes set that its encoding does not use");
  }
  if (!entry->is_delta && header.base != Digest{})
    return absl::InvalidArgumentError("an absolute vector that names a base");
  return header;
}

absl::Status EncodeElements(Encoding encoding, absl::Span<const float> x,
                            absl::Span<const float> base, uint64_t first, std::string* out) {
  WEFT_CHECK(base.size() == (IsDelta(encoding) ? x.size() : 0));
  if (absl::Status status = CheckFinite(x, first); !status.ok()) return status;
  if (encoding == Encoding::kParametersFp32) {
    out->append(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(float));
    return absl::OkStatus();
  }
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

absl::Status DecodeElements(Encoding encoding, absl::string_view bytes,
                            absl::Span<const float> base, uint64_t first, absl::Span<float> out) {
  WEFT_CHECK(bytes.size() == out.size() * EntryOf(encoding).element_bytes);
  WEFT_CHECK(base.size() == (IsDelta(encoding) ? out.size() : 0));
  if (out.empty()) return absl::OkStatus();  // memcpy takes no null pointer, even for no bytes
  if (encoding == Encoding::kParametersFp32) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
  } else {
    std::vector<uint16_t> delta(out.size());
    std::memcpy(delta.data(), bytes.data(), bytes.size());
    kernels::DecodeDeltaBf16(delta.data(), base.data(), out.size(), out.data());
  }
  return CheckFinite(out, first);
}

absl::StatusOr<Digest> WriteVector(const BlobDirectory& blobs, const VectorHeader& header,
                                   absl::Span<const float> x, absl::Span<const float> base) {
  WEFT_CHECK(header.element_count == x.size());
  absl::StatusOr<std::unique_ptr<BlobWriter>> writer = blobs.NewBlob();
  if (!writer.ok()) return writer.status();
  std::string bytes = PrintVectorHeader(header);
  for (uint64_t begin = 0; begin < x.size(); begin += kBlockElements) {
    const absl::Span<const float> block = x.subspan(begin, kBlockElements);
    const absl::Span<const float> base_block =
        base.empty() ? base : base.subspan(begin, block.size());
    if (absl::Status status = EncodeElements(header.encoding, block, base_block, begin, &bytes);
        !status.ok())
      return status;
    if (absl::Status status = (*writer)->Append(bytes); !status.ok()) return status;
    bytes.clear();
  }
  if (absl::Status status = (*writer)->Append(bytes); !status.ok()) return status;
  return (*writer)->Commit();
}

absl::StatusOr<VectorReader> VectorReader::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("cannot open the vector", path);
  VectorReader reader(path, fd, VectorHeader{});
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoStatus("cannot look at", path);
  std::string head(std::min<uint64_t>(kVectorHeaderBytes, static_cast<uint64_t>(info.st_size)),
                   '\0');
  if (absl::Status status = ReadExactly(fd, 0, &head, path); !status.ok()) return status;
  absl::StatusOr<VectorHeader> header = ParseVectorHeader(head);
  if (!header.ok()) return absl::DataLossError(absl::StrCat(path, ": ", header.status().message()));
  const uint64_t want = EncodedBytes(header->encoding, header->element_count);
  if (static_cast<uint64_t>(info.st_size) != want) {
    return absl::DataLossError(absl::StrCat(path, ": ", info.st_size, " bytes; its header (",
                                            EncodingName(header->encoding), ", ",
                                            header->element_count, " elements) says ", want));
  }
  reader.header_ = *header;
  return reader;
}

VectorReader::VectorReader(VectorReader&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      header_(other.header_),
      buffer_(std::move(other.buffer_)) {}

VectorReader& VectorReader::operator=(VectorReader&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(header_, other.header_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

VectorReader::~VectorReader() {
  if (fd_ >= 0) close(fd_);
}

absl::Status VectorReader::Read(uint64_t begin, absl::Span<const float> base,
                                absl::Span<float> out) {
  WEFT_CHECK(begin + out.size() <= header_.element_count);
  const bool is_delta = IsDelta(header_.encoding);
  for (uint64_t done = 0; done < out.size(); done += kBlockElements) {
    const absl::Span<float> block = out.subspan(done, kBlockElements);
    const uint64_t first = begin + done;
    buffer_.resize(block.size() * EntryOf(header_.encoding).element_bytes);
    if (absl::Status status =
            ReadExactly(fd_, EncodedOffset(header_.encoding, first), &buffer_, path_);
        !status.ok())
      return status;
    const absl::Span<const float> base_block =
        is_delta ? base.subspan(done, block.size()) : absl::Span<const float>();
    if (absl::Status status = DecodeElements(header_.encoding, buffer_, base_block, first, block);
        !status.ok()) {
      return absl::Status(status.code(), absl::StrCat(path_, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ParameterVector> ReadParameters(const std::string& path, const Digest& layout) {
  absl::StatusOr<VectorReader> reader = VectorReader::Open(path);
  if (!reader.ok()) return reader.status();
  const VectorHeader& header = reader->header();
  if (header.encoding != Encoding::kParametersFp32) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is in ", EncodingName(header.encoding),
                                                   ", parameters_fp32 is expected"));
  }
  if (header.layout != layout) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is of layout ", ToHex(header.layout),
                                                   ", expected is ", ToHex(layout)));
  }
  ParameterVector vector(header.element_count);
  if (absl::Status status = reader->Read(0, {}, vector.span()); !status.ok()) return status;
  return vector;
}

}  // namespace weft
