// Elements that are accepted are finite and have one form: encoded again, they are the same bytes.
// The first byte of an input is the encoding's number, the second how many of a block are kept.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/parameters/element_codec.h"
#include "proto/check.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

constexpr uint64_t kElementsMax = 2048;

// As many elements as the bytes can be.
uint64_t ElementsIn(weft::VectorFormat format, size_t bytes) {
  uint64_t count = 0;
  while (count < kElementsMax && weft::ElementBytes(format, count + 1) <= bytes) ++count;
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || data[0] < 1 || data[0] > 5) return 0;
  const auto encoding = static_cast<weft::Encoding>(data[0]);
  const bool topk = encoding == weft::Encoding::kTopkInt4;
  const weft::VectorFormat format(encoding, topk ? data[1] % 64 + 1 : 0);
  absl::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  const uint64_t count = ElementsIn(format, bytes.size());
  bytes = bytes.substr(0, weft::ElementBytes(format, count));
  // From a base of zeros every decoded difference can be had back exactly.
  const std::vector<float> base(weft::IsDelta(format) ? count : 0, 0.0F);
  std::vector<float> x(count);
  if (!weft::DecodeElements(format, bytes, base, 0, absl::MakeSpan(x)).ok()) return 0;
  WEFT_CHECK(std::all_of(x.begin(), x.end(), [](float value) { return std::isfinite(value); }));
  std::string again;
  if (!weft::EncodeElements(format, x, base, 0, &again).ok()) {
    // Only a level that was rounded up decodes to what no encoder takes.
    WEFT_CHECK(std::any_of(x.begin(), x.end(), [](float v) { return std::abs(v) >= 0x1p127F; }));
    return 0;
  }
  WEFT_CHECK(encoding == weft::Encoding::kDeltaBf16 || again == bytes);
  return 0;
}
