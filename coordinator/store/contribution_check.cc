#include "coordinator/store/contribution_check.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "coordinator/core/admission.h"
#include "kernels/vector_ops.h"

namespace weft {
namespace {

constexpr uint64_t kBlockElements = uint64_t{1} << 16;

Refusal CheckHeader(const VectorHeader& header, const VectorHeader& expected) {
  if (header.layout != expected.layout) {
    return MakeRefusal(Refusal::WRONG_LAYOUT, "the vector's header names another parameter layout");
  }
  if (header.encoding != expected.encoding) {
    return MakeRefusal(Refusal::WRONG_ENCODING,
                       absl::StrCat("the vector's header says ", FormatWords(header.encoding),
                                    ", the run uses ", FormatWords(expected.encoding)));
  }
  if (header.base != expected.base) {
    return MakeRefusal(Refusal::WRONG_ROUND, "the vector's header names another base");
  }
  if (header.element_count != expected.element_count || header.fragment != expected.fragment ||
      header.fragment_count != expected.fragment_count) {
    return MakeRefusal(Refusal::WRONG_LENGTH,
                       absl::StrCat("the vector's header says ", header.element_count,
                                    " elements, the layout has ", expected.element_count));
  }
  return {};
}

}  // namespace

absl::StatusOr<ContributionCheck> CheckContributionVector(const std::string& path,
                                                          const VectorHeader& expected,
                                                          const std::string& base_path,
                                                          double norm_max) {
  ContributionCheck check;
  absl::StatusOr<VectorReader> vector = VectorReader::Open(path);
  if (absl::IsDataLoss(
          vector.status())) {  // the file's length was fixed by us: its header is wrong
    const std::string words(vector.status().message());
    check.refusal = MakeRefusal(Refusal::MALFORMED,
                                std::string(absl::StripPrefix(words, absl::StrCat(path, ": "))));
    return check;
  }
  if (!vector.ok()) return vector.status();
  check.refusal = CheckHeader(vector->header(), expected);
  if (IsRefused(check.refusal)) return check;
  absl::StatusOr<VectorReader> base = VectorReader::Open(base_path);
  if (!base.ok()) return base.status();

  std::vector<float> z(kBlockElements), x(kBlockElements);
  double squares = 0;
  for (uint64_t begin = 0; begin < expected.element_count; begin += kBlockElements) {
    const uint64_t count = std::min(kBlockElements, expected.element_count - begin);
    const absl::Span<float> z_block(z.data(), count), x_block(x.data(), count);
    if (absl::Status status = base->Read(begin, {}, z_block); !status.ok()) return status;
    const absl::Status status = vector->Read(
        begin, IsDelta(expected.encoding) ? z_block : absl::Span<const float>(), x_block);
    if (absl::IsInvalidArgument(status)) {
      const std::string words(status.message());
      check.refusal = MakeRefusal(Refusal::NOT_FINITE,
                                  std::string(absl::StripPrefix(words, absl::StrCat(path, ": "))));
      return check;
    }
    if (!status.ok()) return status;
    squares += kernels::SquaredDistance(x.data(), z.data(), count);
  }
  check.update_norm = std::sqrt(squares);
  if (norm_max != 0 && check.update_norm > norm_max) {
    check.refusal = MakeRefusal(
        Refusal::NORM_TOO_LARGE,
        absl::StrCat("the update's norm is ", check.update_norm, ", the run allows ", norm_max));
  }
  return check;
}

}  // namespace weft
