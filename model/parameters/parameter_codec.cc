#include "model/parameters/parameter_codec.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace weft {
namespace {

// Elements that are encoded, read or written at a time: 1 MiB of fp32.
constexpr uint64_t kBlockElements = uint64_t{1} << 18;

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
                                            FormatWords(header->encoding), ", ",
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
  const uint64_t end = begin + out.size();
  WEFT_CHECK(end <= header_.element_count);
  WEFT_CHECK(end == header_.element_count || end % BlockSize(header_.encoding) == 0);
  const bool is_delta = IsDelta(header_.encoding);
  for (uint64_t done = 0; done < out.size(); done += kBlockElements) {
    const absl::Span<float> block = out.subspan(done, kBlockElements);
    const uint64_t first = begin + done;
    buffer_.resize(ElementBytes(header_.encoding, block.size()));
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
