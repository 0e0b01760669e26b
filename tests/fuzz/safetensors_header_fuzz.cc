// Whatever the header says, a tensor that it lists lies inside of the file.
#include "absl/strings/string_view.h"
#include "model/formats/safetensors.h"
#include "proto/check.h"
#include "tests/fuzz/fuzz_target.h"

namespace weft {
namespace {

void Check(absl::string_view head, uint64_t file_bytes) {
  const auto header = ParseSafetensorsHeader(head, file_bytes, "input");
  if (!header.ok()) {
    WEFT_CHECK(!header.status().message().empty());
    return;
  }
  for (const auto& [name, entry] : header->tensors) {
    WEFT_CHECK(entry.begin <= entry.end && entry.end <= file_bytes);
    for (const int64_t dimension : entry.shape) WEFT_CHECK(dimension >= 0);
  }
}

}  // namespace
}  // namespace weft

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view head(reinterpret_cast<const char*>(data), size);
  weft::Check(head, size);               // the whole file
  weft::Check(head, size + 96);          // a header whose data follows
  weft::Check(head, uint64_t{1} << 63);  // a file that no machine has
  return 0;
}
