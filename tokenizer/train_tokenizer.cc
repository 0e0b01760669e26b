#include "tokenizer/train_tokenizer.h"

#include <algorithm>
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tokenizer/sentencepiece_tokenizer.h"

namespace weft {
namespace {

constexpr double kCoverageWanted = 0.9999;

// Not an error: the sample is full.
absl::Status Enough() { return absl::CancelledError("enough"); }

size_t CharacterBytes(char first) {
  const auto byte = static_cast<uint8_t>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

class CharacterCounts {
 public:
  void Add(absl::string_view line) {
    while (!line.empty()) {
      const size_t bytes = std::min(CharacterBytes(line[0]), line.size());
      ++counts_[std::string(line.substr(0, bytes))];
      ++total_;
      line.remove_prefix(bytes);
    }
  }
  uint64_t distinct() const { return counts_.size(); }
  // The most frequent characters that cover `share` of the text, at most `count_max` of them;
  // *covered is their share.
  std::unordered_set<std::string> MostFrequent(double share, uint64_t count_max,
                                               double* covered) const {
    std::vector<std::pair<uint64_t, std::string>> sorted;
    for (const auto& [character, count] : counts_) sorted.emplace_back(count, character);
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    std::unordered_set<std::string> kept;
    uint64_t sum = 0;
    for (const auto& [count, character] : sorted) {
      if (kept.size() >= count_max ||
          static_cast<double>(sum) >= share * static_cast<double>(total_))
        break;
      kept.insert(character);
      sum += count;
    }
    *covered = total_ == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(total_);
    return kept;
  }

 private:
  std::unordered_map<std::string, uint64_t> counts_;
  uint64_t total_ = 0;
};

// The runs of kept characters: no piece has another one in it. SentencePiece's own coverage does
// the same, but not below 0.98, which a small vocabulary for many scripts needs.
std::vector<std::string> RunsOf(absl::Span<const std::string> lines,
                                const std::unordered_set<std::string>& kept) {
  std::vector<std::string> runs;
  for (absl::string_view line : lines) {
    std::string run;
    for (; !line.empty(); line.remove_prefix(std::min(CharacterBytes(line[0]), line.size()))) {
      const std::string character(line.substr(0, CharacterBytes(line[0])));
      if (kept.count(character) > 0) {
        run += character;
      } else if (!run.empty()) {
        runs.push_back(std::move(run));
        run.clear();
      }
    }
    if (!run.empty()) runs.push_back(std::move(run));
  }
  return runs;
}

// The lines of the sample: no piece crosses a newline.
absl::StatusOr<std::vector<std::string>> SampleLines(absl::Span<const std::string> inputs,
                                                     const TrainTokenizerOptions& options,
                                                     DocumentCounts* counts) {
  std::vector<std::string> lines;
  for (const std::string& input : inputs) {
    absl::StatusOr<std::vector<std::string>> files = ListTextFiles({input});
    if (!files.ok()) return files.status();
    uint64_t left = options.sample_bytes;
    const auto take = [&](absl::string_view text) {
      while (!text.empty() && left > 0) {
        const absl::string_view line = text.substr(0, text.find('\n'));
        if (!line.empty()) lines.emplace_back(line);
        left -= std::min<uint64_t>(left, line.size() + 1);
        text.remove_prefix(std::min(line.size() + 1, text.size()));
      }
      return left > 0 ? absl::OkStatus() : Enough();
    };
    const absl::Status status = ReadDocuments(*files, options.documents, take, counts);
    if (!status.ok() && !absl::IsCancelled(status)) return status;
  }
  if (lines.empty())
    return absl::InvalidArgumentError("the inputs hold no text to train a tokenizer on");
  return lines;
}

}  // namespace

absl::StatusOr<TrainedTokenizer> TrainTokenizer(absl::Span<const std::string> inputs,
                                                const TrainTokenizerOptions& options) {
  if (options.vocabulary_size % 128 != 0 || options.vocabulary_size < 384) {
    return absl::InvalidArgumentError(absl::StrCat("a vocabulary of ", options.vocabulary_size,
                                                   "; a multiple of 128, at least 384, is needed"));
  }
  if (options.character_coverage < 0 || options.character_coverage > 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a character coverage of ", options.character_coverage, "; 0 (chosen) to 1 is allowed"));
  }
  TrainedTokenizer trained;
  absl::StatusOr<std::vector<std::string>> lines = SampleLines(inputs, options, &trained.counts);
  if (!lines.ok()) return lines.status();
  CharacterCounts characters;
  for (const std::string& line : *lines) characters.Add(line);
  trained.distinct_characters = characters.distinct();
  const auto room = static_cast<uint64_t>(options.vocabulary_size - kSpecialPieceCount) / 2;
  const double share =
      options.character_coverage > 0 ? options.character_coverage : kCoverageWanted;
  const uint64_t count_max = options.character_coverage > 0 ? characters.distinct() : room;
  const std::vector<std::string> runs =
      RunsOf(*lines, characters.MostFrequent(share, count_max, &trained.character_coverage));

  size_t next = 0;
  const auto next_line = [&](std::string* line) {
    if (next == runs.size()) return false;
    *line = runs[next++];
    return true;
  };
  absl::StatusOr<std::string> model =
      TrainSentencePiece({.vocabulary_size = options.vocabulary_size,
                          .line_bytes_max = options.documents.line_bytes_max},
                         next_line);
  if (!model.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model.status().message(), "; the sample has ", lines->size(), " lines and ",
                     trained.distinct_characters,
                     " different characters: give more text, or another --vocabulary"));
  }
  trained.model = *std::move(model);
  return trained;
}

}  // namespace weft
