// A config.json that is accepted is within the limits, and prints and parses back to itself.
#include "absl/strings/string_view.h"
#include "model/formats/huggingface.h"
#include "proto/check.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config =
      weft::ParseHuggingFaceConfig({reinterpret_cast<const char*>(data), size}, "input");
  if (!config.ok()) {
    WEFT_CHECK(!config.status().message().empty());
    return 0;
  }
  WEFT_CHECK(weft::CheckModelConfig(*config).ok());
  const auto again = weft::ParseHuggingFaceConfig(weft::PrintHuggingFaceConfig(*config), "printed");
  WEFT_CHECK(again.ok());
  WEFT_CHECK(again->SerializeAsString() == config->SerializeAsString());
  return 0;
}
