// Where each tensor of a model lies in its one flat parameter vector.
//
// Tensors follow each other without gaps, in the order they were added; everything is fp32,
// row-major. Two ends that hold the same layout digest mean the same thing by "element i".
// Immutable once built; share it freely.
//
//   layout digest = SHA-256 of a line per tensor: name, tab, dimensions joined by "x", newline.
#ifndef WEFT_MODEL_PARAMETERS_PARAMETER_LAYOUT_H_
#define WEFT_MODEL_PARAMETERS_PARAMETER_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/digest.h"

namespace weft {

struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  // elements from the vector's start
  uint64_t size = 0;    // elements
};

class ParameterLayout {
 public:
  // InvalidArgument on an empty or repeated name, or a dimension below 1.
  static absl::StatusOr<ParameterLayout> Create(
      std::vector<std::pair<std::string, std::vector<int64_t>>> tensors);

  const std::vector<TensorSpec>& tensors() const { return tensors_; }
  const TensorSpec* Find(absl::string_view name) const;  // nullptr: no such tensor
  uint64_t element_count() const { return element_count_; }
  const Digest& digest() const { return digest_; }

 private:
  std::vector<TensorSpec> tensors_;
  uint64_t element_count_ = 0;
  Digest digest_{};
};

}  // namespace weft

#endif  // WEFT_MODEL_PARAMETERS_PARAMETER_LAYOUT_H_
