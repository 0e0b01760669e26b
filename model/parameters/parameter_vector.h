// All parameters of a model in one contiguous, 64-byte-aligned fp32 buffer, in layout order.
// Tensors, gradients and optimizer state are views into such vectors; averaging, pulling, hashing
// and sending are loops over one. A value that moves but does not copy by accident: use Clone().
#ifndef WEFT_MODEL_PARAMETERS_PARAMETER_VECTOR_H_
#define WEFT_MODEL_PARAMETERS_PARAMETER_VECTOR_H_

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "absl/types/span.h"

namespace weft {

class ParameterVector {
 public:
  ParameterVector() = default;
  explicit ParameterVector(uint64_t element_count);  // zeros
  ParameterVector(ParameterVector&&) noexcept = default;
  ParameterVector& operator=(ParameterVector&&) noexcept = default;

  ParameterVector Clone() const;
  uint64_t size() const { return size_; }
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  absl::Span<float> span() { return {data_.get(), size_}; }
  absl::Span<const float> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float[], Free> data_;
  uint64_t size_ = 0;
};

}  // namespace weft

#endif  // WEFT_MODEL_PARAMETERS_PARAMETER_VECTOR_H_
