#include "model/parameters/parameter_vector.h"

#include <cstring>

#include "proto/check.h"

namespace weft {

ParameterVector::ParameterVector(uint64_t element_count) : size_(element_count) {
  constexpr uint64_t kAlignment = 64;
  const uint64_t bytes = (element_count * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
  data_.reset(static_cast<float*>(std::aligned_alloc(kAlignment, bytes == 0 ? kAlignment : bytes)));
  WEFT_CHECK(data_ != nullptr);
  std::memset(data_.get(), 0, bytes);
}

ParameterVector ParameterVector::Clone() const {
  ParameterVector copy(size_);
  if (size_ != 0) std::memcpy(copy.data(), data(), size_ * sizeof(float));
  return copy;
}

}  // namespace weft
