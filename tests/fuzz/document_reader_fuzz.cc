// Private text comes as it comes: each document is sound UTF-8 within the bound, the counts are
// those of the documents, and skipping what is bad changes nothing where nothing is.
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/testing/temporary_folder.h"
#include "tokenizer/document_reader.h"
#include "tokenizer/utf8.h"

namespace weft {
namespace {

absl::Status Read(const std::string& file, const DocumentOptions& options,
                  std::vector<std::string>* documents) {
  DocumentCounts counts;
  uint64_t bytes = 0;
  const auto take = [&](absl::string_view text) {
    WEFT_CHECK(ValidUtf8Prefix(text) == text.size());
    WEFT_CHECK(!absl::StripAsciiWhitespace(text).empty());
    WEFT_CHECK(text.size() <= options.line_bytes_max);
    bytes += text.size();
    documents->emplace_back(text);
    return absl::OkStatus();
  };
  const absl::Status status = ReadDocuments(std::vector<std::string>{file}, options, take, &counts);
  WEFT_CHECK(counts.documents == documents->size() && counts.bytes == bytes);
  WEFT_CHECK(status.ok() || !status.message().empty());
  WEFT_CHECK((counts.skipped > 0) == !counts.first_skipped.empty());
  return status;
}

void Check(const std::string& file, TextDocuments form) {
  DocumentOptions options{.text_documents = form, .line_bytes_max = 200};
  std::vector<std::string> documents, without_bad;
  const absl::Status status = Read(file, options, &documents);
  options.skip_bad = true;
  WEFT_CHECK(Read(file, options, &without_bad).ok());
  if (status.ok()) WEFT_CHECK(documents == without_bad);
  WEFT_CHECK(documents.size() <= without_bad.size());
}

// One file in memory under two names (a disk would take minutes for as many inputs).
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("input", MFD_CLOEXEC)) {
    WEFT_CHECK(fd_ >= 0);
    for (const std::string& name : {text(), json_lines()})
      std::filesystem::create_symlink(absl::StrCat("/proc/self/fd/", fd_), name);
  }
  std::string text() const { return folder_ / "a.txt"; }
  std::string json_lines() const { return folder_ / "a.jsonl"; }
  void Fill(const uint8_t* data, size_t size) const {
    WEFT_CHECK(ftruncate(fd_, 0) == 0);
    WEFT_CHECK(pwrite(fd_, data, size, 0) == static_cast<ssize_t>(size));
  }

 private:
  testing::TemporaryFolder folder_;
  int fd_;
};

}  // namespace
}  // namespace weft

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const weft::MemoryFile file;
  file.Fill(data, size);
  weft::Check(file.text(), weft::TextDocuments::kLines);
  weft::Check(file.text(), weft::TextDocuments::kAuto);
  weft::Check(file.json_lines(), weft::TextDocuments::kAuto);
  return 0;
}
