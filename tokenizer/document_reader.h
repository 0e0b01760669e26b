// Private text as a stream of documents, from .txt and .jsonl files, with every defect named by
// file and line.
//
//   absl::StatusOr<std::vector<std::string>> files = ListTextFiles({"corpus/"});
//   const auto take = [&](absl::string_view text) { return writer.Add(text); };
//   absl::Status status = ReadDocuments(*files, options, take, &counts);
//
// Memory is bounded by one document. Pure but for reading; the functions share no state.
#ifndef WEFT_TOKENIZER_DOCUMENT_READER_H_
#define WEFT_TOKENIZER_DOCUMENT_READER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace weft {

// How a .txt file is cut. kAuto: by blank lines when its first MiB has one, else a document a line.
enum class TextDocuments { kAuto, kBlankLines, kLines };

struct DocumentOptions {
  std::string field = "text";  // of each JSON line
  TextDocuments text_documents = TextDocuments::kAuto;
  uint64_t line_bytes_max = uint64_t{16} << 20;
  bool skip_bad = false;  // count and skip what is damaged, instead of refusing it
};

struct DocumentCounts {
  uint64_t documents = 0;
  uint64_t bytes = 0;
  uint64_t empty = 0;         // documents of nothing but white space: never an error
  uint64_t skipped = 0;       // skip_bad
  std::string first_skipped;  // why, with file and line
};

// Files as they are named, and all .txt and .jsonl files below folders, in sorted order. NotFound
// names what is missing; InvalidArgument a file of another kind, or that there is none.
absl::StatusOr<std::vector<std::string>> ListTextFiles(absl::Span<const std::string> inputs);

// Calls `take` for each document, which is well-formed UTF-8 and not empty, its lines joined by
// "\n" (a byte order mark and the "\r" of "\r\n" are left out); a status that is not ok
// ends the reading. InvalidArgument: a line that is too long, is not UTF-8, is not JSON, or has no
// such field, with file and line.
absl::Status ReadDocuments(absl::Span<const std::string> files, const DocumentOptions& options,
                           const std::function<absl::Status(absl::string_view)>& take,
                           DocumentCounts* counts);

}  // namespace weft

#endif  // WEFT_TOKENIZER_DOCUMENT_READER_H_
