// Text that is accepted as a manifest, a membership or an order means the same after it is printed.
#include <string>

#include "absl/strings/string_view.h"
#include "proto/check.h"
#include "proto/run_manifest.pb.h"
#include "proto/site.pb.h"
#include "proto/text_file.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

template <typename Message>
void Check(absl::string_view text) {
  Message message;
  const absl::Status parsed = weft::ParseTextProto(text, "input", &message);
  if (!parsed.ok()) {
    WEFT_CHECK(parsed.message().substr(0, 5) == "input");
    return;
  }
  Message again;
  WEFT_CHECK(weft::ParseTextProto(weft::PrintTextProto(message), "printed", &again).ok());
  WEFT_CHECK(weft::PrintTextProto(again) == weft::PrintTextProto(message));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  Check<weft::RunManifest>(text);
  Check<weft::Membership>(text);
  Check<weft::RoundOrder>(text);
  return 0;
}
