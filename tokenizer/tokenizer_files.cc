#include "tokenizer/tokenizer_files.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/durable_file.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kSpecialTokens[] = {"<unk>", "<s>", "</s>"};

struct Merge {
  float score;
  int left;
  int right;
};

std::vector<Merge> Merges(absl::Span<const Piece> pieces) {
  std::unordered_map<std::string, int> ids;
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].kind == PieceKind::kNormal) ids[pieces[id].text] = static_cast<int>(id);
  }
  std::vector<Merge> merges;
  for (const auto& [text, id] : ids) {
    for (size_t cut = 1; cut < text.size(); ++cut) {
      if ((static_cast<uint8_t>(text[cut]) & 0xc0) == 0x80) continue;  // inside a character
      const auto left = ids.find(text.substr(0, cut));
      const auto right = ids.find(text.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      merges.push_back({pieces[static_cast<size_t>(id)].score, left->second, right->second});
    }
  }
  std::sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return std::tuple(-a.score, a.left, a.right) < std::tuple(-b.score, b.left, b.right);
  });
  return merges;
}

Json AddedToken(const char* content) {
  return {{"content", content}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false},    {"normalized", false},  {"special", true}};
}

std::string PrintTokenizerConfig() {
  Json decoder = Json::object();
  for (int id = 0; id < 3; ++id) decoder[absl::StrCat(id)] = AddedToken(kSpecialTokens[id]);
  const Json json = {
      {"tokenizer_class", "PreTrainedTokenizerFast"},
      {"add_bos_token", true},
      {"add_eos_token", false},
      {"bos_token", "<s>"},
      {"eos_token", "</s>"},
      {"unk_token", "<unk>"},
      {"clean_up_tokenization_spaces", false},
      {"model_max_length", 1000000000},
      {"chat_template", "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"},
      {"added_tokens_decoder", decoder}};
  return json.dump(2) + "\n";
}

constexpr absl::string_view kSpecialTokensMap =
    "{\n  \"bos_token\": \"<s>\",\n  \"eos_token\": \"</s>\",\n  \"unk_token\": \"<unk>\"\n}\n";

absl::Status WriteContents(const std::string& folder, const std::string& model) {
  absl::StatusOr<std::vector<Piece>> pieces = ReadPieces(model, "the trained model");
  if (!pieces.ok()) return pieces.status();
  if (absl::Status status = MakeDirectories(folder); !status.ok()) return status;
  const std::pair<const char*, std::string> files[] = {
      {"tokenizer.model", model},
      {"tokenizer.json", PrintTokenizerJson(*pieces)},
      {"tokenizer_config.json", PrintTokenizerConfig()},
      {"special_tokens_map.json", std::string(kSpecialTokensMap)}};
  for (const auto& [name, bytes] : files) {
    if (absl::Status status = WriteFileDurably(absl::StrCat(folder, "/", name), bytes);
        !status.ok())
      return status;
  }
  return absl::OkStatus();
}

}  // namespace

std::string PrintTokenizerJson(absl::Span<const Piece> pieces) {
  Json added = Json::array();
  for (int id = 0; id < 3; ++id) {
    Json token = {{"id", id}};
    token.update(AddedToken(kSpecialTokens[id]));
    added.push_back(std::move(token));
  }
  Json vocabulary = Json::object();
  // Pieces differ, so that the search of operator[] for an equal one is not needed (nor its time,
  // quadratic in the vocabulary).
  for (size_t id = 0; id < pieces.size(); ++id)
    vocabulary.get_ref<Json::object_t&>().emplace_back(pieces[id].text, id);
  Json merges = Json::array();
  for (const Merge& merge : Merges(pieces)) {
    merges.push_back({pieces[static_cast<size_t>(merge.left)].text,
                      pieces[static_cast<size_t>(merge.right)].text});
  }
  const std::string space(kSpaceSymbol.data(), kSpaceSymbol.size());
  const Json begin = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const auto sequence = [](const char* id, int type) {
    return Json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  const Json json = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", space}}},
      {"pre_tokenizer", nullptr},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", Json::array({begin, sequence("A", 0)})},
        {"pair", Json::array({begin, sequence("A", 0), sequence("B", 1)})},
        {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {kBeginId}}, {"tokens", {"<s>"}}}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         Json::array({Json{{"type", "Replace"}, {"pattern", {{"String", space}}}, {"content", " "}},
                      Json{{"type", "ByteFallback"}}, Json{{"type", "Fuse"}}})}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", "<unk>"},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", true},
        {"byte_fallback", true},
        {"ignore_merges", false},
        {"vocab", std::move(vocabulary)},
        {"merges", std::move(merges)}}}};
  return json.dump(1) + "\n";
}

absl::Status CheckFolderIsNew(const std::string& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(
      folder, ": is there already and is never overwritten: remove it, or choose another folder"));
}

absl::Status WriteTokenizerFolder(const std::string& folder, const std::string& model) {
  if (absl::Status status = CheckFolderIsNew(folder); !status.ok()) return status;
  std::string path = folder;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string temporary = absl::StrCat(path, ".", getpid(), kTemporarySuffix);
  absl::Status status = WriteContents(temporary, model);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0)
    status = ErrnoStatus("cannot give the finished folder its name", path);
  if (!status.ok()) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    return status;
  }
  const std::string parent = fs::path(path).parent_path().string();
  return SyncDirectory(parent.empty() ? "." : parent);
}

}  // namespace weft
