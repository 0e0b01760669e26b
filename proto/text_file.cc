#include "proto/text_file.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

// Keeps the first error; line and column are counted from 0 by protobuf, from 1 by people.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  explicit FirstError(const std::string& source) : source_(source) {}
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (words_.empty())
      words_ = absl::StrCat(source_, ":", line + 1, ":", column + 1, ": ", message);
  }
  const std::string& words() const { return words_; }

 private:
  const std::string& source_;
  std::string words_;
};

constexpr uint64_t kTextBytesMax = 16 << 20;

}  // namespace

absl::Status ParseTextProto(absl::string_view text, const std::string& source,
                            google::protobuf::Message* message) {
  FirstError error(source);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.SetRecursionLimit(32);
  if (parser.ParseFromString(std::string(text), message)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      error.words().empty() ? absl::StrCat(source, ": not text format") : error.words());
}

absl::Status ReadTextProto(const std::string& path, google::protobuf::Message* message) {
  absl::StatusOr<std::string> text = ReadWholeFile(path, kTextBytesMax);
  if (!text.ok()) return text.status();
  return ParseTextProto(*text, path, message);
}

std::string PrintTextProto(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  printer.PrintToString(message, &text);
  return text;
}

absl::Status WriteTextProto(const std::string& path, const google::protobuf::Message& message) {
  return WriteFileDurably(path, PrintTextProto(message));
}

}  // namespace weft
