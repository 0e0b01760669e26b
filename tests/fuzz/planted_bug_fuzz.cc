// Not a decoder of ours: a bug planted to see that the mutation driver finds one and says how to
// replay it. A length is believed when it is huge, and right otherwise.
#include <cstring>

#include "proto/check.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint64_t length = 0;
  if (size < sizeof(length)) return 0;
  std::memcpy(&length, data, sizeof(length));
  WEFT_CHECK(length < (uint64_t{1} << 56));
  return 0;
}
