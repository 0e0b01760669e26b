// A manifest that is accepted names plain files, and comes back as it was understood.
#include <string>

#include "absl/strings/string_view.h"
#include "proto/check.h"
#include "tests/fuzz/fuzz_target.h"
#include "tokenizer/shard_manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view json(reinterpret_cast<const char*>(data), size);
  const auto manifest = weft::ParseShardManifest(json, "input");
  if (!manifest.ok()) {
    WEFT_CHECK(!manifest.status().message().empty());
    return 0;
  }
  for (const weft::ShardSplit* split : {&manifest->train, &manifest->held_out}) {
    for (const weft::ShardEntry& shard : split->shards) {
      WEFT_CHECK(!shard.file.empty() && shard.file[0] != '.');
      WEFT_CHECK(shard.file.find('/') == std::string::npos);
    }
  }
  const std::string printed = weft::PrintShardManifest(*manifest);
  const auto again = weft::ParseShardManifest(printed, "printed");
  WEFT_CHECK(again.ok() && weft::PrintShardManifest(*again) == printed);
  return 0;
}
