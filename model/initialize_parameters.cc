// The first vector of a run, from a seed, the same on every machine.
//
// Element i of a matrix is drawn by rejection (von Neumann 1951): x uniform in [-2, 2) and kept
// with probability exp(-x^2 / 2). Attempt a of element i takes the number SplitMix64(key + (a <<
// 40) + i) of a counter-based generator (Steele, Lea and Flood 2014); its high half gives x, its
// low half decides. Only additions, multiplications and one division in double are used, so no C
// library can change a bit.
#include "model/random.h"
#include "model/transformer.h"
#include "proto/check.h"
#include "proto/digest.h"

namespace weft {
namespace {

constexpr double kDeviation = 0.02;
constexpr double kCut = 2.0;  // in deviations

// exp(-t) for t in [0, 2]: 1 / exp(t / 4)^4, by Taylor's series, whose terms are all positive; what
// is left out after 12 terms is below 1e-13.
double ExpOfMinus(double t) {
  static constexpr double kInverse[] = {1. / 1, 1. / 2, 1. / 3, 1. / 4,  1. / 5,  1. / 6,
                                        1. / 7, 1. / 8, 1. / 9, 1. / 10, 1. / 11, 1. / 12};
  const double quarter = t / 4;
  double sum = 1;
  for (int k = 11; k >= 0; --k) sum = 1 + sum * quarter * kInverse[k];
  const double square = sum * sum;
  return 1 / (square * square);
}

uint64_t KeyOf(uint64_t seed, const std::string& name) {
  std::string bytes = "weft-init-1";
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(seed >> (8 * i)));
  const Digest digest = Sha256(bytes + name);
  uint64_t key = 0;
  for (int i = 0; i < 8; ++i) key |= uint64_t{digest[i]} << (8 * i);
  return key;
}

float TruncatedNormal(uint64_t key, uint64_t element) {
  constexpr double kUnit = 1.0 / 4294967296.0;
  for (uint64_t attempt = 0;; ++attempt) {
    const uint64_t bits = SplitMix64(key + (attempt << 40) + element);
    const double x = kCut * (2 * (static_cast<double>(bits >> 32) * kUnit) - 1);
    const double u = static_cast<double>(bits & 0xffffffffu) * kUnit;
    if (u < ExpOfMinus(x * x / 2)) return static_cast<float>(kDeviation * x);
  }
}

}  // namespace

void InitializeParameters(const ParameterLayout& layout, uint64_t seed, absl::Span<float> vector) {
  WEFT_CHECK(vector.size() == layout.element_count());
  for (const TensorSpec& tensor : layout.tensors()) {
    const absl::Span<float> out = vector.subspan(tensor.offset, tensor.size);
    const uint64_t key = KeyOf(seed, tensor.name);
    const bool is_norm = tensor.shape.size() == 1;
    for (uint64_t i = 0; i < tensor.size; ++i) out[i] = is_norm ? 1.0f : TruncatedNormal(key, i);
  }
}

}  // namespace weft
