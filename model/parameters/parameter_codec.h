// Parameter vectors as files: written through a folder of blobs, read in parts or whole.
// vector_header.h draws the bytes; element_codec.h says how elements are encoded.
//
//   absl::StatusOr<Digest> digest = WriteVector(blobs, {.element_count = x.size()}, x, {});
//   absl::StatusOr<VectorReader> reader = VectorReader::Open(blobs.PathOf(*digest));
//   reader->Read(0, {}, absl::MakeSpan(block));
#ifndef WEFT_MODEL_PARAMETERS_PARAMETER_CODEC_H_
#define WEFT_MODEL_PARAMETERS_PARAMETER_CODEC_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/parameters/element_codec.h"
#include "model/parameters/parameter_vector.h"
#include "model/parameters/vector_header.h"
#include "proto/blob_directory.h"
#include "proto/digest.h"

namespace weft {

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
  // Decodes elements [begin, begin + out.size()), whole blocks of the encoding: `begin` is a
  // multiple of its block size, and so is the end, or it is the vector's. `base` holds the same
  // elements of the base, or is empty.
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
