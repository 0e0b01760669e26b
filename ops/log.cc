#include "ops/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace weft {
namespace {

std::shared_ptr<spdlog::logger> NewLogger(absl::string_view program) {
  auto logger = std::make_shared<spdlog::logger>(std::string(program),
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %n: %v", spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::trace);
  return logger;
}

// Not spdlog's default logger: that one writes to standard output, which belongs to a program's
// results.
std::shared_ptr<spdlog::logger>& Logger() {
  static std::shared_ptr<spdlog::logger> logger = NewLogger("weft");
  return logger;
}

// Values may come from the other end of a connection: what could break a line or pose as another
// field is escaped.
std::string Quoted(absl::string_view value) {
  bool plain = !value.empty();
  for (const char c : value) plain = plain && c > ' ' && c < 0x7f && c != '"' && c != '=';
  return plain ? std::string(value) : absl::StrCat("\"", absl::Utf8SafeCEscape(value), "\"");
}

void Write(spdlog::level::level_enum level, absl::string_view words, LogFields fields) {
  std::string line(words);
  for (const auto& [key, value] : fields) absl::StrAppend(&line, " ", key, "=", Quoted(value));
  Logger()->log(level, "{}", line);
}

}  // namespace

void SetUpLogging(absl::string_view program) { Logger() = NewLogger(program); }
void LogInfo(absl::string_view words, LogFields fields) {
  Write(spdlog::level::info, words, fields);
}
void LogWarning(absl::string_view words, LogFields fields) {
  Write(spdlog::level::warn, words, fields);
}
void LogError(absl::string_view words, LogFields fields) {
  Write(spdlog::level::err, words, fields);
}

}  // namespace weft
