// manifest.json of a folder of token shards: what was prepared, with which tokenizer, and the
// digest of every file.
//
//   absl::StatusOr<ShardManifest> manifest = ReadShardManifest("shards/");
//
// Values; the functions are pure or read one file.
#ifndef WEFT_TOKENIZER_SHARD_MANIFEST_H_
#define WEFT_TOKENIZER_SHARD_MANIFEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weft {

inline constexpr char kShardManifestFile[] = "manifest.json";
inline constexpr char kHeldOutTextFile[] = "held_out.txt";

struct ShardEntry {
  std::string file;  // a plain name inside the folder
  std::string sha256;
  uint64_t bytes = 0;
  uint64_t documents = 0;
  uint64_t tokens = 0;
};

// One side of the split. `tokens` counts BOS and EOS of each document; `bytes` are UTF-8 bytes of
// text.
struct ShardSplit {
  uint64_t documents = 0;
  uint64_t tokens = 0;
  uint64_t bytes = 0;
  std::vector<ShardEntry> shards;
};

struct ShardManifest {
  std::string tokenizer_sha256;
  uint32_t vocabulary_size = 0;
  ShardSplit train;
  ShardSplit held_out;
  std::string held_out_text_sha256;
  // What the input held besides sound documents.
  uint64_t empty_documents = 0;
  uint64_t skipped_documents = 0;        // --skip-bad
  uint64_t lower_one_eighth_blocks = 0;  // U+2581, which comes back as a space
};

std::string PrintShardManifest(const ShardManifest& manifest);
// DataLoss naming `source` and the first field that is missing or wrong.
absl::StatusOr<ShardManifest> ParseShardManifest(absl::string_view json, absl::string_view source);
// NotFound when the folder was not prepared (or not to its end: the manifest is written last).
absl::StatusOr<ShardManifest> ReadShardManifest(const std::string& folder);

}  // namespace weft

#endif  // WEFT_TOKENIZER_SHARD_MANIFEST_H_
