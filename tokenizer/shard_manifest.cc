#include "tokenizer/shard_manifest.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "proto/digest.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

using OrderedJson = nlohmann::ordered_json;  // written
using Json = nlohmann::json;                 // read: no slower for many names

constexpr char kFormat[] = "weft-token-shards-1";
constexpr uint64_t kManifestBytesMax = uint64_t{64} << 20;

OrderedJson SplitToJson(const ShardSplit& split) {
  OrderedJson shards = OrderedJson::array();
  for (const ShardEntry& shard : split.shards) {
    shards.push_back({{"file", shard.file},
                      {"sha256", shard.sha256},
                      {"bytes", shard.bytes},
                      {"documents", shard.documents},
                      {"tokens", shard.tokens}});
  }
  return {{"documents", split.documents},
          {"tokens", split.tokens},
          {"text_bytes", split.bytes},
          {"shards", shards}};
}

// Takes fields out of parsed JSON and remembers the first that is not as it should be.
class Fields {
 public:
  explicit Fields(absl::string_view source) : source_(source) {}

  uint64_t Count(const Json& object, const char* name) {
    const Json* value = Find(object, name);
    if (value == nullptr) return 0;
    if (!value->is_number_unsigned()) return Fail(name, "a count"), 0;
    return value->get<uint64_t>();
  }
  std::string Text(const Json& object, const char* name) {
    const Json* value = Find(object, name);
    if (value == nullptr) return "";
    if (!value->is_string()) return Fail(name, "a string"), "";
    return value->get<std::string>();
  }
  std::string Sha256Hex(const Json& object, const char* name) {
    std::string hex = Text(object, name);
    if (!DigestFromHex(hex).ok()) Fail(name, "64 hexadecimal digits");
    return hex;
  }
  // The name becomes a path, so it must not lead out of the folder.
  std::string FileName(const Json& object, const char* name) {
    std::string file = Text(object, name);
    if (file.empty() || file[0] == '.' ||
        file.find_first_of(std::string("/\0", 2)) != std::string::npos)
      Fail(name, "a plain file name");
    return file;
  }
  const Json* Find(const Json& object, const char* name) {
    if (!object.is_object() || !object.contains(name)) return Fail(name, "there"), nullptr;
    return &object[name];
  }
  void Fail(const char* name, const char* expected) {
    if (!status_.ok()) return;
    status_ = absl::DataLossError(absl::StrCat(source_, ": \"", name, "\" is not ", expected));
  }
  const absl::Status& status() const { return status_; }

 private:
  std::string source_;
  absl::Status status_;
};

ShardSplit SplitFromJson(const Json& manifest, const char* name, Fields* fields) {
  ShardSplit split;
  const Json* json = fields->Find(manifest, name);
  if (json == nullptr) return split;
  split.documents = fields->Count(*json, "documents");
  split.tokens = fields->Count(*json, "tokens");
  split.bytes = fields->Count(*json, "text_bytes");
  const Json* shards = fields->Find(*json, "shards");
  if (shards == nullptr) return split;
  if (!shards->is_array()) return fields->Fail("shards", "a list"), split;
  uint64_t documents = 0, tokens = 0;
  for (const Json& shard : *shards) {
    split.shards.push_back({.file = fields->FileName(shard, "file"),
                            .sha256 = fields->Sha256Hex(shard, "sha256"),
                            .bytes = fields->Count(shard, "bytes"),
                            .documents = fields->Count(shard, "documents"),
                            .tokens = fields->Count(shard, "tokens")});
    documents += split.shards.back().documents;
    tokens += split.shards.back().tokens;
  }
  if (documents != split.documents) fields->Fail("documents", "the sum over the shards");
  if (tokens != split.tokens) fields->Fail("tokens", "the sum over the shards");
  return split;
}

}  // namespace

std::string PrintShardManifest(const ShardManifest& manifest) {
  const OrderedJson json = {{"format", kFormat},
                            {"tokenizer_sha256", manifest.tokenizer_sha256},
                            {"vocabulary_size", manifest.vocabulary_size},
                            {"train", SplitToJson(manifest.train)},
                            {"held_out", SplitToJson(manifest.held_out)},
                            {"held_out_text_sha256", manifest.held_out_text_sha256},
                            {"empty_documents", manifest.empty_documents},
                            {"skipped_documents", manifest.skipped_documents},
                            {"u2581_count", manifest.lower_one_eighth_blocks}};
  return json.dump(2) + "\n";
}

absl::StatusOr<ShardManifest> ParseShardManifest(absl::string_view text, absl::string_view source) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::DataLossError(absl::StrCat(source, ": not JSON"));
  Fields fields(source);
  if (fields.Text(json, "format") != kFormat) fields.Fail("format", kFormat);
  ShardManifest manifest;
  manifest.tokenizer_sha256 = fields.Sha256Hex(json, "tokenizer_sha256");
  const uint64_t vocabulary_size = fields.Count(json, "vocabulary_size");
  if (vocabulary_size == 0 || vocabulary_size > INT32_MAX)
    fields.Fail("vocabulary_size", "in [1, 2^31)");
  manifest.vocabulary_size = static_cast<uint32_t>(vocabulary_size);
  manifest.train = SplitFromJson(json, "train", &fields);
  manifest.held_out = SplitFromJson(json, "held_out", &fields);
  manifest.held_out_text_sha256 = fields.Sha256Hex(json, "held_out_text_sha256");
  manifest.empty_documents = fields.Count(json, "empty_documents");
  manifest.skipped_documents = fields.Count(json, "skipped_documents");
  manifest.lower_one_eighth_blocks = fields.Count(json, "u2581_count");
  if (!fields.status().ok()) return fields.status();
  return manifest;
}

absl::StatusOr<ShardManifest> ReadShardManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kShardManifestFile);
  absl::StatusOr<std::string> json = ReadWholeFile(path, kManifestBytesMax);
  if (absl::IsNotFound(json.status())) {
    return absl::NotFoundError(absl::StrCat(
        folder,
        ": no manifest.json: not a folder of token shards; make one with weft-tokenizer prepare"));
  }
  if (!json.ok()) return json.status();
  return ParseShardManifest(*json, path);
}

}  // namespace weft
