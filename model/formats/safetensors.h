// The safetensors container (https://github.com/huggingface/safetensors, format section of its
// README).
//
//   u64 N | JSON header of N bytes, padded with spaces so that (8 + N) % 256 == 0 | tensor data,
//   contiguous
//
// Written with __metadata__ {"format": "pt"}, fp32, in layout order. Read with every offset
// checked against the file before any memory is taken; header at most 100 MB; offsets contiguous
// and covering. Pickle is never read.
#ifndef WEFT_MODEL_FORMATS_SAFETENSORS_H_
#define WEFT_MODEL_FORMATS_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_layout.h"
#include "model/parameters/parameter_vector.h"

namespace weft {

struct SafetensorsEntry {
  std::string dtype;  // "F32", "F16", "BF16"; others are listed but cannot be read as parameters
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // bytes in the file
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> tensors;
  std::map<std::string, std::string> metadata;
};

// `file_bytes` is the whole file's length, `head` its first 8 + N bytes (or more).
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view head,
                                                         uint64_t file_bytes,
                                                         absl::string_view source);
absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(const std::string& path);

absl::Status WriteSafetensors(const std::string& path, const ParameterLayout& layout,
                              absl::Span<const float> vector);
// The tensors of `layout` from one file or from several shards, converted to fp32. NotFound names
// the first tensor that is missing, InvalidArgument the first of another shape or type, and the
// first that the layout does not know.
absl::StatusOr<ParameterVector> ReadSafetensors(absl::Span<const std::string> paths,
                                                const ParameterLayout& layout);

}  // namespace weft

#endif  // WEFT_MODEL_FORMATS_SAFETENSORS_H_
