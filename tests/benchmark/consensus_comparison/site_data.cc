#include "tests/benchmark/consensus_comparison/site_data.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/benchmark/consensus_comparison/setting.h"
#include "tokenizer/shard_manifest.h"
#include "tokenizer/token_shard_writer.h"
#include "tokenizer/tokenizer_files.h"
#include "tokenizer/train_tokenizer.h"
#include "tokenizer/utf8.h"

namespace weft::comparison {
namespace {

namespace fs = std::filesystem;

constexpr double kHeldOutShare = 0.05;
constexpr uint64_t kTokenizerSampleBytes = 400'000;  // of each language
constexpr size_t kPieceBytesMax = 1000;

// Uneven on purpose: one language or three, one script or three, 2.7 to 10 MB.
constexpr const char* kSites[] = {"ar", "de-es-fr", "en", "hi", "ja-ko-zh", "pl-uk", "rw"};

std::vector<std::string> LanguagesOf(const std::string& site) { return absl::StrSplit(site, '-'); }

absl::StatusOr<std::unique_ptr<Tokenizer>> PrepareTokenizer(const std::string& text,
                                                            const std::string& folder) {
  if (fs::exists(folder)) return LoadTokenizer(folder);
  std::vector<std::string> inputs;
  for (const std::string site : kSites) {
    for (const std::string& language : LanguagesOf(site)) {
      inputs.push_back(absl::StrCat(text, "/", language));
    }
  }
  std::fprintf(stderr, "learning a tokenizer of %d pieces from %zu languages\n", kVocabularySize,
               inputs.size());
  const TrainTokenizerOptions options{.vocabulary_size = kVocabularySize,
                                      .sample_bytes = kTokenizerSampleBytes};
  absl::StatusOr<TrainedTokenizer> trained = TrainTokenizer(inputs, options);
  if (!trained.ok()) return trained.status();
  absl::Status written = WriteTokenizerFolder(folder, trained->model);
  if (!written.ok()) return written;
  return LoadTokenizer(folder);
}

absl::StatusOr<ShardManifest> PrepareShards(const std::string& text, const Tokenizer& tokenizer,
                                            const std::string& folder) {
  if (fs::exists(folder)) return ReadShardManifest(folder);
  std::fprintf(stderr, "preparing %s\n", folder.c_str());
  absl::StatusOr<std::vector<std::string>> files = ListTextFiles({text});
  if (!files.ok()) return files.status();
  auto writer = TokenShardWriter::Create(folder, tokenizer, {.held_out = kHeldOutShare});
  if (!writer.ok()) return writer.status();
  DocumentCounts counts;
  const auto take = [&](absl::string_view document) { return (*writer)->Add(document); };
  absl::Status read = ReadDocuments(*files, {}, take, &counts);
  if (!read.ok()) return read;
  (*writer)->SetInputCounts(counts.empty, counts.skipped);
  return (*writer)->Finish();
}

absl::StatusOr<SiteText> PrepareSite(const std::string& text, const std::string& folder,
                                     const std::string& name, const Tokenizer& tokenizer,
                                     uint64_t held_out_bytes) {
  SiteText site{.name = name, .languages = LanguagesOf(name)};
  std::vector<std::string> sample;
  for (const std::string& language : site.languages) {
    const std::string shards = absl::StrCat(folder, "/shards/", language);
    absl::StatusOr<ShardManifest> manifest =
        PrepareShards(absl::StrCat(text, "/", language), tokenizer, shards);
    if (!manifest.ok()) return manifest.status();
    if (manifest->tokenizer_sha256 != tokenizer.model_sha256()) {
      return absl::FailedPreconditionError(
          absl::StrCat(shards, ": made with another tokenizer; remove ", folder));
    }
    site.shards.push_back(shards);
    site.training_bytes += manifest->train.bytes;
    site.training_tokens += manifest->train.tokens;
    absl::StatusOr<Text> held_out =
        ReadText(language, absl::StrCat(shards, "/", kHeldOutTextFile), Documents::kBlankLines);
    if (!held_out.ok()) return held_out.status();
    for (std::string& document :
         SampleOf(held_out->documents, held_out_bytes / site.languages.size())) {
      sample.push_back(std::move(document));
    }
  }
  absl::StatusOr<Text> made = MakeText(name, absl::StrCat("held-out text of ", name),
                                       absl::StrJoin(sample, "\n\n"), Documents::kBlankLines);
  if (!made.ok()) return made.status();
  site.held_out = *std::move(made);
  return site;
}

}  // namespace

std::vector<std::string> SampleOf(const std::vector<std::string>& documents, uint64_t bytes) {
  std::vector<absl::string_view> pieces;
  double all = 0;
  for (absl::string_view rest : documents) {
    while (!rest.empty()) {
      const absl::string_view start = rest.substr(0, kPieceBytesMax);
      const size_t line = start.size() < rest.size() ? start.rfind('\n') : absl::string_view::npos;
      size_t size = line == absl::string_view::npos ? ValidUtf8Prefix(start) : line + 1;
      if (size == 0) size = start.size();
      pieces.push_back(rest.substr(0, size));
      rest.remove_prefix(size);
      all += static_cast<double>(size);
    }
  }
  // All bytes pass; a piece is taken when the sample has less than its share of them.
  std::vector<std::string> sample;
  const double share = std::min(1.0, static_cast<double>(bytes) / all);
  double passed = 0, taken = 0;
  for (const absl::string_view piece : pieces) {
    const auto size = static_cast<double>(piece.size());
    passed += size;
    if (taken + size > share * passed) continue;
    taken += size;
    sample.emplace_back(piece);
  }
  return sample;
}

absl::StatusOr<SiteData> PrepareSiteData(const std::string& text, const std::string& folder,
                                         uint64_t held_out_bytes) {
  if (!fs::is_directory(text)) {
    return absl::NotFoundError(absl::StrCat(
        "'", text, "': no folder of text; give --data, or WEFT_DATA as the tests have it: a ",
        "folder with fedcorpus/en, fedcorpus/fr and so on"));
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      PrepareTokenizer(text, folder + "/tokenizer");
  if (!tokenizer.ok()) return tokenizer.status();
  SiteData data;
  data.tokenizer = *std::move(tokenizer);
  for (const std::string name : kSites) {
    absl::StatusOr<SiteText> site =
        PrepareSite(text, folder, name, *data.tokenizer, held_out_bytes);
    if (!site.ok()) return site.status();
    data.sites.push_back(*std::move(site));
  }
  return data;
}

}  // namespace weft::comparison
