// Where a fragment of a parameter vector lies: F ranges of nearly equal size in layout order, cut
// at multiples of 256 elements, so that no block of an encoding is cut (and not at layers: an
// embedding can be a quarter of a small model). Streaming DiLoCo, Douillard et al. 2025.
//
//   const FragmentRange range = RangeOfFragment(layout.element_count(), 4, 1);
//   vector.span().subspan(range.begin, range.size);
#ifndef WEFT_MODEL_PARAMETERS_FRAGMENT_RANGE_H_
#define WEFT_MODEL_PARAMETERS_FRAGMENT_RANGE_H_

#include <algorithm>
#include <cstdint>

namespace weft {

inline constexpr uint64_t kFragmentGrain = 256;

struct FragmentRange {
  uint64_t begin = 0;
  uint64_t size = 0;
};

// Requires fragment < count, and count <= FragmentsMax(element_count).
inline FragmentRange RangeOfFragment(uint64_t element_count, uint32_t count, uint32_t fragment) {
  const uint64_t grains = (element_count + kFragmentGrain - 1) / kFragmentGrain;
  const uint64_t begin = grains * fragment / count * kFragmentGrain;
  const uint64_t end = std::min(grains * (fragment + 1) / count * kFragmentGrain, element_count);
  return {begin, end - begin};
}

// So many fragments leave none empty.
inline uint64_t FragmentsMax(uint64_t element_count) {
  return (element_count + kFragmentGrain - 1) / kFragmentGrain;
}

}  // namespace weft

#endif  // WEFT_MODEL_PARAMETERS_FRAGMENT_RANGE_H_
