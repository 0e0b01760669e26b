#include "tokenizer/document_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Documents = std::vector<std::string>;

class DocumentReaderTest : public ::testing::Test {
 protected:
  std::string File(const std::string& name, absl::string_view bytes) {
    const std::string path = folder_ / name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  // The documents; the status and the counts stay behind.
  Documents Read(const std::vector<std::string>& files, const DocumentOptions& options = {}) {
    Documents documents;
    counts_ = {};
    status_ = ReadDocuments(
        files, options,
        [&](absl::string_view text) {
          documents.emplace_back(text);
          return absl::OkStatus();
        },
        &counts_);
    return documents;
  }
  Documents ReadText(absl::string_view bytes, const DocumentOptions& options = {}) {
    return Read({File("a.txt", bytes)}, options);
  }
  Documents ReadJson(absl::string_view bytes, const DocumentOptions& options = {}) {
    return Read({File("a.jsonl", bytes)}, options);
  }
  void ExpectRefused(const std::string& where, const std::string& what) {
    EXPECT_EQ(status_.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status_.message()), HasSubstr(where));
    EXPECT_THAT(std::string(status_.message()), HasSubstr(what));
  }

  testing::TemporaryFolder folder_;
  absl::Status status_;
  DocumentCounts counts_;
};

constexpr DocumentOptions kLines{.text_documents = TextDocuments::kLines};
constexpr DocumentOptions kBlankLines{.text_documents = TextDocuments::kBlankLines};
constexpr DocumentOptions kSkipBad{.skip_bad = true};

TEST_F(DocumentReaderTest, CutsTextByBlankLinesOrByLines) {
  const std::string text = "one\ntwo\n\n \t\n\nthree\n  four ";
  EXPECT_THAT(ReadText(text, kBlankLines), ElementsAre("one\ntwo", "three\n  four "));
  EXPECT_THAT(ReadText(text, kLines), ElementsAre("one", "two", "three", "  four "));
  EXPECT_THAT(ReadText(text), ElementsAre("one\ntwo", "three\n  four "));
  EXPECT_THAT(ReadText("one\ntwo\n"), ElementsAre("one", "two"));
  EXPECT_EQ(counts_.documents, 2);
  EXPECT_EQ(counts_.bytes, 6);
}

TEST_F(DocumentReaderTest, BlankLinesAtTheEdgesDoNotDecide) {
  EXPECT_THAT(ReadText("\n\none\ntwo\n"), ElementsAre("one", "two"));
}

TEST_F(DocumentReaderTest, ReadsWindowsText) {
  EXPECT_THAT(ReadText("\xef\xbb\xbfone\r\ntwo\r\n\r\nthree\r\n"),
              ElementsAre("one\ntwo", "three"));
  EXPECT_THAT(ReadText("\xef\xbb\xbfone\r\ntwo"), ElementsAre("one", "two"));
  EXPECT_THAT(ReadJson("\xef\xbb\xbf{\"text\": \"one\"}\r\n"), ElementsAre("one"));
}

TEST_F(DocumentReaderTest, EmptyInputGivesNoDocument) {
  for (const char* text : {"", "\n", " \n\t\n\n", "\r\n"}) {
    EXPECT_THAT(ReadText(text), IsEmpty());
    EXPECT_THAT(ReadJson(text), IsEmpty());
    EXPECT_TRUE(status_.ok()) << status_;
  }
  EXPECT_THAT(ReadJson(R"({"text": " \n "})"), IsEmpty());
  EXPECT_EQ(counts_.empty, 1);
}

TEST_F(DocumentReaderTest, ReadsTheFieldOfJsonLines) {
  EXPECT_THAT(ReadJson("{\"text\": \"a\\n\\u00e9\\ud83d\\udc4d\", \"id\": 1}\n\n{\"text\": \"b\"}"),
              ElementsAre("a\n\xc3\xa9\xf0\x9f\x91\x8d", "b"));
  EXPECT_THAT(ReadJson(R"({"text": "a", "body": "b"})", {.field = "body"}), ElementsAre("b"));
}

TEST_F(DocumentReaderTest, NamesFileAndLineOfWhatIsBad) {
  const std::string good = "{\"text\": \"good\"}\n";
  const std::pair<std::string, std::string> cases[] = {
      {"{\"words\": \"a\"}\n", "no string field \"text\" (--field)"},
      {"{\"text\": 3}\n", "no string field"},
      {"[\"text\"]\n", "no string field"},
      {"{\"text\": \"a\"\n", "not JSON"},
      {"{\"text\": \"a\"} {}\n", "not JSON"},
      {"{\"text\": \"\\ud800\"}\n", "not JSON"},
      {"{\"text\": \"a\xff\"}\n", "not UTF-8 at byte 12"},
  };
  for (const auto& [bad, what] : cases) {
    EXPECT_THAT(ReadJson(good + bad + good), ElementsAre("good"));
    ExpectRefused("a.jsonl:2: ", what);
    EXPECT_THAT(ReadJson(good + bad + good + bad, kSkipBad), ElementsAre("good", "good"));
    EXPECT_TRUE(status_.ok()) << status_;
    EXPECT_EQ(counts_.skipped, 2);
    EXPECT_THAT(counts_.first_skipped, HasSubstr("a.jsonl:2: "));
  }
}

TEST_F(DocumentReaderTest, SkipsABadDocumentOfTextAndNothingElse) {
  const std::string text = "one\n\ntwo\nbad \xc0\xaf\nstill \xff\n\nthree\n";
  EXPECT_THAT(ReadText(text), ElementsAre("one"));
  ExpectRefused("a.txt:4: ", "not UTF-8 at byte 5");
  EXPECT_THAT(ReadText(text, kSkipBad), ElementsAre("one", "three"));
  EXPECT_EQ(counts_.skipped, 1);
  EXPECT_THAT(ReadText("one\n\xff\ntwo", kSkipBad), ElementsAre("one", "two"));
}

TEST_F(DocumentReaderTest, BoundsLinesAndDocuments) {
  const DocumentOptions options{.text_documents = TextDocuments::kBlankLines, .line_bytes_max = 8};
  EXPECT_THAT(ReadText("12345678\n\n1\n2\n3\n4\n", options), ElementsAre("12345678", "1\n2\n3\n4"));
  ReadText("1\n\n123456789\n", options);
  ExpectRefused("a.txt:3: ", "longer than 8 bytes (--line-bytes-max)");
  ReadText("1\n2\n3\n4\n5\n", options);
  ExpectRefused("a.txt:5: ", "the document is longer than 8 bytes (--line-bytes-max)");
  DocumentOptions skip = options;
  skip.skip_bad = true;
  EXPECT_THAT(ReadText("1\n2\n3\n4\n5\n6\n\n7\n", skip), ElementsAre("7"));
  EXPECT_THAT(ReadText("123456789abcdefghijklmn\n\n7\n", skip), ElementsAre("7"));
  EXPECT_EQ(counts_.skipped, 1);
}

uint64_t PeakBytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

TEST_F(DocumentReaderTest, HoldsOneDocumentNotTheFile) {
  const std::string path = folder_ / "long.txt";
  {
    std::ofstream file(path, std::ios::binary);
    const std::string block(size_t{1} << 20, 'a');
    for (int i = 0; i < 50; ++i) file << block;  // one line of 50 MiB
    file << "\n";
    for (int i = 0; i < 1000; ++i) file << block.substr(0, 50000) << "\n";
  }
  const uint64_t before = PeakBytes();
  EXPECT_THAT(Read({path}, kLines), IsEmpty());
  ExpectRefused("long.txt:1: ", "the line is longer than 16777216 bytes (--line-bytes-max)");
  uint64_t bytes = 0;
  DocumentCounts counts;
  const absl::Status status = ReadDocuments(
      std::vector<std::string>{path}, {.text_documents = TextDocuments::kLines, .skip_bad = true},
      [&](absl::string_view text) {
        bytes += text.size();
        return absl::OkStatus();
      },
      &counts);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(bytes, 50'000'000);
  EXPECT_EQ(counts.skipped, 1);
  EXPECT_LT(PeakBytes() - before, uint64_t{48} << 20);  // a line's buffer grows by doubling
}

TEST_F(DocumentReaderTest, EndsWithTheStatusOfTheTaker) {
  DocumentCounts counts;
  int taken = 0;
  const absl::Status status = ReadDocuments(
      std::vector<std::string>{File("a.txt", "one\ntwo\n")}, {},
      [&](absl::string_view) {
        ++taken;
        return absl::CancelledError("enough");
      },
      &counts);
  EXPECT_EQ(status, absl::CancelledError("enough"));
  EXPECT_EQ(taken, 1);
}

TEST_F(DocumentReaderTest, ListsFoldersSortedAndFilesAsNamed) {
  for (const char* name : {"in/b.txt", "in/a/z.jsonl", "in/a.txt", "in/notes.md", "c.txt"})
    File(name, "x\n");
  const auto files = ListTextFiles(std::vector<std::string>{folder_ / "c.txt", folder_ / "in"});
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(*files, ElementsAre(EndsWith("/c.txt"), EndsWith("/in/a.txt"),
                                  EndsWith("/in/a/z.jsonl"), EndsWith("/in/b.txt")));
}

TEST_F(DocumentReaderTest, SaysWhichInputIsNotText) {
  const auto message = [](const std::vector<std::string>& inputs) {
    return std::string(ListTextFiles(inputs).status().message());
  };
  EXPECT_THAT(message({folder_ / "none"}), HasSubstr("none: there is no such file or folder"));
  EXPECT_THAT(message({File("a.pdf", "x")}), HasSubstr("a.pdf: a .txt or .jsonl file is expected"));
  EXPECT_THAT(message({folder_.path()}), HasSubstr("no .txt or .jsonl file"));
  Read({folder_ / "gone.txt"});
  EXPECT_EQ(status_.code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace weft
