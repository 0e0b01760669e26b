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
  const weft::VectorFormat format = header->encoding;
  const uint64_t encoded_bytes = weft::EncodedBytes(format, header->element_count);
  // The smallest of all: one of 256 elements, in four bytes.
  WEFT_CHECK(encoded_bytes >= weft::kVectorHeaderBytes + header->element_count / 64);
  WEFT_CHECK(encoded_bytes <= weft::kVectorHeaderBytes + 5 * header->element_count);
  WEFT_CHECK(weft::EncodedOffset(format, header->element_count) == encoded_bytes);

  // Whole blocks; encoded_elements_fuzz has their ends.
  const uint64_t block = weft::BlockSize(format);
  const absl::string_view elements = bytes.substr(weft::kVectorHeaderBytes);
  const uint64_t count = elements.size() / weft::ElementBytes(format, block) * block;
  const std::vector<float> base(weft::IsDelta(format) ? count : 0, 0.5F);
  std::vector<float> out(count);
  const absl::Status decoded = weft::DecodeElements(
      format, elements.substr(0, weft::ElementBytes(format, count)), base, 0, absl::MakeSpan(out));
  if (decoded.ok())
    WEFT_CHECK(std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); }));
  return 0;
}
