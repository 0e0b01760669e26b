// A vector header that is accepted has one form, its length is known without overflow, and its
// elements are finite.
#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/parameters/parameter_codec.h"
#include "proto/check.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto header = weft::ParseVectorHeader(bytes);
  if (!header.ok()) return 0;
  WEFT_CHECK(weft::PrintVectorHeader(*header) == bytes.substr(0, weft::kVectorHeaderBytes));
  const uint64_t encoded_bytes = weft::EncodedBytes(header->encoding, header->element_count);
  WEFT_CHECK(encoded_bytes >= weft::kVectorHeaderBytes + header->element_count);
  WEFT_CHECK(weft::EncodedOffset(header->encoding, header->element_count) == encoded_bytes);

  const uint64_t element_bytes =
      weft::EncodedOffset(header->encoding, 1) - weft::EncodedOffset(header->encoding, 0);
  const absl::string_view elements = bytes.substr(weft::kVectorHeaderBytes);
  const uint64_t count = elements.size() / element_bytes;
  const std::vector<float> base(weft::IsDelta(header->encoding) ? count : 0, 0.5F);
  std::vector<float> out(count);
  const absl::Status decoded = weft::DecodeElements(
      header->encoding, elements.substr(0, count * element_bytes), base, 0, absl::MakeSpan(out));
  if (decoded.ok())
    WEFT_CHECK(std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); }));
  return 0;
}
