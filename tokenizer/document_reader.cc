#include "tokenizer/document_reader.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/durable_file.h"
#include "simdjson.h"
#include "tokenizer/utf8.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
constexpr size_t kProbeBytes = size_t{1} << 20;
// What Windows programs put before UTF-8 text; not part of it.
constexpr absl::string_view kByteOrderMark = "\xef\xbb\xbf";

bool IsTextFile(const std::string& path) {
  return absl::EndsWith(path, ".txt") || absl::EndsWith(path, ".jsonl");
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// Lines of a file, without their "\n" or "\r\n", never holding more than one and a block of it.
class LineReader {
 public:
  static absl::StatusOr<LineReader> Open(const std::string& path, uint64_t line_bytes_max) {
    std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
    if (file == nullptr) return ErrnoStatus("cannot open", path);
    return LineReader(path, std::move(file), line_bytes_max);
  }

  // False at the end. A line above the limit is cut there (`too_long`), the rest of it is passed
  // over.
  absl::StatusOr<bool> Next(std::string* line, bool* too_long) {
    line->clear();
    *too_long = false;
    bool any = false;
    while (true) {
      if (at_ == end_) {
        end_ = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
        at_ = 0;
        if (end_ == 0 && std::ferror(file_.get())) return ErrnoStatus("cannot read", path_);
        if (end_ == 0) break;
      }
      any = true;
      const auto begin = buffer_.begin() + static_cast<std::ptrdiff_t>(at_);
      const auto stop = std::find(begin, buffer_.begin() + static_cast<std::ptrdiff_t>(end_), '\n');
      const auto count = static_cast<size_t>(stop - begin);
      const size_t room = line_bytes_max_ - line->size();
      line->append(&*begin, std::min(count, room));
      *too_long = *too_long || count > room;
      at_ += count;
      if (at_ == end_) continue;
      ++at_;  // the newline
      break;
    }
    if (!any) return false;
    if (++number_ == 1 && absl::StartsWith(*line, kByteOrderMark))
      line->erase(0, kByteOrderMark.size());
    if (!line->empty() && line->back() == '\r') line->pop_back();
    return true;
  }
  uint64_t number() const { return number_; }

 private:
  LineReader(std::string path, std::unique_ptr<std::FILE, CloseFile> file, uint64_t line_bytes_max)
      : path_(std::move(path)),
        file_(std::move(file)),
        line_bytes_max_(line_bytes_max),
        buffer_(1 << 18) {}
  std::string path_;
  std::unique_ptr<std::FILE, CloseFile> file_;
  uint64_t line_bytes_max_;
  std::vector<char> buffer_;
  size_t at_ = 0;
  size_t end_ = 0;
  uint64_t number_ = 0;
};

bool IsBlank(absl::string_view text) { return absl::StripAsciiWhitespace(text).empty(); }

// One pass over the files; knows what to do with a sound document and with a bad one.
class Reading {
 public:
  Reading(const DocumentOptions& options,
          const std::function<absl::Status(absl::string_view)>& take, DocumentCounts* counts)
      : options_(options), take_(take), counts_(counts) {}

  absl::Status Text(const std::string& path, bool by_lines);
  absl::Status JsonLines(const std::string& path);

 private:
  absl::Status Take(absl::string_view text) {
    if (IsBlank(text)) {
      ++counts_->empty;
      return absl::OkStatus();
    }
    ++counts_->documents;
    counts_->bytes += text.size();
    return take_(text);
  }
  absl::Status Bad(const std::string& path, uint64_t line, absl::string_view what) {
    const std::string words = absl::StrCat(path, ":", line, ": ", what);
    if (!options_.skip_bad) {
      return absl::InvalidArgumentError(
          absl::StrCat(words, " (--skip-bad counts and skips such documents)"));
    }
    if (counts_->skipped++ == 0) counts_->first_skipped = words;
    return absl::OkStatus();
  }
  // Empty when the line may be used.
  std::string Defect(absl::string_view line, bool too_long) const {
    if (too_long)
      return absl::StrCat("the line is longer than ", options_.line_bytes_max,
                          " bytes (--line-bytes-max)");
    const size_t sound = ValidUtf8Prefix(line);
    if (sound == line.size()) return "";
    return absl::StrCat("not UTF-8 at byte ", sound + 1, " of the line");
  }
  // The field's text, or why there is none.
  absl::StatusOr<absl::string_view> FieldOf(const std::string& line);

  const DocumentOptions& options_;
  const std::function<absl::Status(absl::string_view)>& take_;
  DocumentCounts* counts_;
  simdjson::dom::parser parser_;
};

absl::Status Reading::Text(const std::string& path, bool by_lines) {
  absl::StatusOr<LineReader> lines = LineReader::Open(path, options_.line_bytes_max);
  if (!lines.ok()) return lines.status();
  std::string line, document;
  bool damaged = false;  // the document has a line that cannot be used
  const auto finish = [&]() -> absl::Status {
    const absl::Status status = damaged || document.empty() ? absl::OkStatus() : Take(document);
    document.clear();
    damaged = false;
    return status;
  };
  while (true) {
    bool too_long = false;
    absl::StatusOr<bool> more = lines->Next(&line, &too_long);
    if (!more.ok()) return more.status();
    if (!*more) return finish();
    if (std::string defect = Defect(line, too_long); !defect.empty() && !damaged) {
      if (absl::Status status = Bad(path, lines->number(), defect); !status.ok()) return status;
      damaged = true;
    }
    // A blank line ends a damaged document too, so that what follows is not lost with it.
    const bool blank = !too_long && IsBlank(line);
    if (!blank && !damaged) absl::StrAppend(&document, document.empty() ? "" : "\n", line);
    // A document of many lines is bounded as a line is.
    if (document.size() > options_.line_bytes_max && !damaged) {
      const absl::Status status =
          Bad(path, lines->number(),
              absl::StrCat("the document is longer than ", options_.line_bytes_max,
                           " bytes (--line-bytes-max)"));
      if (!status.ok()) return status;
      damaged = true;
      document.clear();
    }
    if (!by_lines && !blank) continue;
    if (absl::Status status = finish(); !status.ok()) return status;
  }
}

absl::StatusOr<absl::string_view> Reading::FieldOf(const std::string& line) {
  simdjson::dom::element element;
  if (const auto error = parser_.parse(line.data(), line.size()).get(element); error) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON: ", simdjson::error_message(error)));
  }
  std::string_view text;
  if (const auto error = element[options_.field].get(text); error) {
    return absl::InvalidArgumentError(
        absl::StrCat("no string field \"", options_.field, "\" (--field)"));
  }
  return absl::string_view(text.data(), text.size());
}

absl::Status Reading::JsonLines(const std::string& path) {
  absl::StatusOr<LineReader> lines = LineReader::Open(path, options_.line_bytes_max);
  if (!lines.ok()) return lines.status();
  std::string line;
  while (true) {
    bool too_long = false;
    absl::StatusOr<bool> more = lines->Next(&line, &too_long);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    std::string defect = Defect(line, too_long);
    if (defect.empty() && IsBlank(line)) continue;
    absl::StatusOr<absl::string_view> text = absl::InvalidArgumentError(defect);
    if (defect.empty()) text = FieldOf(line);
    const absl::Status status =
        text.ok() ? Take(*text) : Bad(path, lines->number(), text.status().message());
    if (!status.ok()) return status;
  }
}

// Whether a blank line stands in the file's first MiB.
absl::StatusOr<bool> HasBlankLine(const std::string& path) {
  absl::StatusOr<LineReader> lines = LineReader::Open(path, kProbeBytes);
  if (!lines.ok()) return lines.status();
  std::string line;
  size_t bytes = 0;
  bool seen_text = false;
  while (bytes < kProbeBytes) {
    bool too_long = false;
    absl::StatusOr<bool> more = lines->Next(&line, &too_long);
    if (!more.ok()) return more.status();
    if (!*more) return false;
    if (IsBlank(line) && seen_text) return true;
    seen_text = seen_text || !IsBlank(line);
    bytes += line.size() + 1;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListTextFiles(absl::Span<const std::string> inputs) {
  std::vector<std::string> files;
  for (const std::string& input : inputs) {
    std::error_code error;
    if (!fs::exists(input, error))
      return absl::NotFoundError(absl::StrCat(input, ": there is no such file or folder"));
    if (!fs::is_directory(input, error)) {
      if (!IsTextFile(input))
        return absl::InvalidArgumentError(
            absl::StrCat(input, ": a .txt or .jsonl file is expected"));
      files.push_back(input);
      continue;
    }
    std::vector<std::string> found;
    for (fs::recursive_directory_iterator it(input, error), end; !error && it != end;
         it.increment(error)) {
      if (it->is_regular_file(error) && IsTextFile(it->path().string()))
        found.push_back(it->path().string());
    }
    if (error)
      return absl::UnavailableError(absl::StrCat(input, ": cannot be listed: ", error.message()));
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  if (files.empty()) return absl::InvalidArgumentError("the inputs hold no .txt or .jsonl file");
  return files;
}

absl::Status ReadDocuments(absl::Span<const std::string> files, const DocumentOptions& options,
                           const std::function<absl::Status(absl::string_view)>& take,
                           DocumentCounts* counts) {
  Reading reading(options, take, counts);
  for (const std::string& path : files) {
    absl::Status status;
    if (absl::EndsWith(path, ".jsonl")) {
      status = reading.JsonLines(path);
    } else {
      bool by_lines = options.text_documents == TextDocuments::kLines;
      if (options.text_documents == TextDocuments::kAuto) {
        absl::StatusOr<bool> blank = HasBlankLine(path);
        if (!blank.ok()) return blank.status();
        by_lines = !*blank;
      }
      status = reading.Text(path, by_lines);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace weft
