#include "eval/text_score.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "eval/windows.h"
#include "proto/durable_file.h"
#include "tokenizer/utf8.h"

namespace weft {
namespace {

constexpr uint64_t kTextBytesMax = uint64_t{1} << 30;

std::vector<std::string> SplitAtBlankLines(absl::string_view content) {
  std::vector<std::string> documents;
  std::string document;
  const auto finish = [&] {
    if (!document.empty()) documents.push_back(std::move(document));
    document.clear();
  };
  for (const absl::string_view line : absl::StrSplit(content, '\n')) {
    if (absl::StripAsciiWhitespace(line).empty()) {
      finish();
      continue;
    }
    if (!document.empty()) document += '\n';
    absl::StrAppend(&document, line);
  }
  finish();
  return documents;
}

// Begin token, then the document's tokens: window arithmetic counts from the first token after it.
TokenSequence SequenceOf(const Window& window, absl::Span<const int32_t> with_begin) {
  const auto part = with_begin.subspan(window.first, window.length + 1);
  return {.tokens = {part.begin(), part.end()}, .scored = window.scored};
}

// A window that begins inside a character has no whole number of bytes, so the bytes of its decoded
// tokens are an estimate; all together are scaled to what the text has.
void ScaleBytes(uint64_t bytes, std::vector<RatioTerm>* terms) {
  double estimated = 0;
  for (const RatioTerm& term : *terms) estimated += term.denominator;
  for (RatioTerm& term : *terms) term.denominator *= static_cast<double>(bytes) / estimated;
}

}  // namespace

absl::StatusOr<Text> MakeText(std::string name, std::string path, absl::string_view content,
                              Documents documents) {
  if (const size_t sound = ValidUtf8Prefix(content); sound < content.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not UTF-8 at byte ", sound,
                     "; convert the text, for example with iconv -t UTF-8"));
  }
  Text text{.name = std::move(name),
            .path = std::move(path),
            .sha256 = Sha256(content),
            .file_bytes = content.size()};
  if (documents == Documents::kBlankLines) {
    text.documents = SplitAtBlankLines(content);
  } else if (!content.empty()) {
    text.documents.emplace_back(content);
  }
  if (text.documents.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(text.path,
                                                   ": no text to score: the file is empty",
                                                   content.empty() ? "" : " but for blank lines"));
  }
  return text;
}

absl::StatusOr<Text> ReadText(const std::string& name, const std::string& path,
                              Documents documents) {
  absl::StatusOr<std::string> content = ReadWholeFile(path, kTextBytesMax);
  if (!content.ok()) return content.status();
  return MakeText(name, path, *content, documents);
}

absl::StatusOr<TextScore> ScoreText(const Text& text, const Tokenizer& tokenizer,
                                    int32_t context_length, const Scorer& scorer) {
  const absl::Time start = absl::Now();
  TextScore score{
      .name = text.name, .path = text.path, .sha256 = text.sha256, .file_bytes = text.file_bytes};
  score.documents = text.documents.size();
  std::vector<TokenSequence> sequences;
  for (const std::string& document : text.documents) {
    std::vector<int32_t> tokens = tokenizer.Encode(document);
    score.bytes += document.size();
    score.tokens += tokens.size();
    const std::vector<Window> windows =
        RollingWindows(static_cast<int64_t>(tokens.size()), context_length);
    for (const Window& window : windows) {
      const auto scored = absl::MakeConstSpan(tokens).subspan(
          window.first + window.length - window.scored, window.scored);
      // Never zero, so that text of control characters alone keeps a denominator.
      score.terms.push_back(
          {.denominator = static_cast<double>(tokenizer.Decode(scored).size() + 1)});
    }
    tokens.insert(tokens.begin(), kBeginId);
    for (const Window& window : windows) sequences.push_back(SequenceOf(window, tokens));
  }
  if (sequences.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        text.path, ": the model's tokenizer makes no token of its ", score.bytes, " bytes"));
  }
  absl::StatusOr<std::vector<double>> scored = scorer.Score(sequences);
  if (!scored.ok()) return scored.status();
  const std::vector<double>& sums = *scored;
  for (size_t i = 0; i < sums.size(); ++i) {
    score.nats -= sums[i];
    score.terms[i].numerator = -sums[i] / M_LN2;
  }
  ScaleBytes(score.bytes, &score.terms);
  score.windows = sequences.size();
  score.bits_per_byte = EstimateRatio(score.terms);
  score.bits_per_byte.ratio = score.nats / M_LN2 / static_cast<double>(score.bytes);
  score.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  return score;
}

TextScore PoolScores(absl::Span<const TextScore> scores) {
  TextScore pooled{.name = "pooled"};
  std::vector<std::vector<RatioTerm>> terms;
  for (const TextScore& score : scores) {
    pooled.file_bytes += score.file_bytes;
    pooled.bytes += score.bytes;
    pooled.documents += score.documents;
    pooled.tokens += score.tokens;
    pooled.windows += score.windows;
    pooled.nats += score.nats;
    pooled.seconds += score.seconds;
    terms.push_back(score.terms);
  }
  pooled.bits_per_byte = EstimatePooledRatio(terms);
  pooled.bits_per_byte.ratio = pooled.nats / M_LN2 / static_cast<double>(pooled.bytes);
  return pooled;
}

}  // namespace weft
