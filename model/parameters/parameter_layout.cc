#include "model/parameters/parameter_layout.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weft {
namespace {

// 2^40 elements are 4 TiB: far above any model, far below where sizes overflow.
constexpr uint64_t kElementsMax = uint64_t{1} << 40;

}  // namespace

absl::StatusOr<ParameterLayout> ParameterLayout::Create(
    std::vector<std::pair<std::string, std::vector<int64_t>>> tensors) {
  ParameterLayout layout;
  std::set<std::string> names;
  std::string lines;
  for (auto& [name, shape] : tensors) {
    if (name.empty() || name.find_first_of("\t\n") != std::string::npos) {
      return absl::InvalidArgumentError(
          "a tensor's name must not be empty or hold a tab or newline");
    }
    if (!names.insert(name).second)
      return absl::InvalidArgumentError(absl::StrCat("tensor ", name, " is named twice"));
    uint64_t size = 1;
    for (const int64_t dimension : shape) {
      if (dimension < 1 || static_cast<uint64_t>(dimension) > kElementsMax / size) {
        return absl::InvalidArgumentError(absl::StrCat(
            "tensor ", name, ": shape ", absl::StrJoin(shape, "x"), " is out of range"));
      }
      size *= static_cast<uint64_t>(dimension);
    }
    absl::StrAppend(&lines, name, "\t", absl::StrJoin(shape, "x"), "\n");
    layout.tensors_.push_back({.name = std::move(name),
                               .shape = std::move(shape),
                               .offset = layout.element_count_,
                               .size = size});
    layout.element_count_ += size;
    if (layout.element_count_ > kElementsMax)
      return absl::InvalidArgumentError("the layout has more than 2^40 elements");
  }
  layout.digest_ = Sha256(lines);
  return layout;
}

const TensorSpec* ParameterLayout::Find(absl::string_view name) const {
  for (const TensorSpec& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

}  // namespace weft
