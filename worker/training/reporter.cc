#include "worker/training/reporter.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kProgressOnTerminal = std::chrono::milliseconds(200);
constexpr auto kProgressElsewhere = std::chrono::seconds(5);
constexpr auto kWaitingAgain = std::chrono::seconds(30);

// Values with spaces are quoted, so that a line splits into its fields.
std::string Print(absl::string_view words, Reporter::Fields fields) {
  std::string line(words);
  for (const auto& [key, value] : fields) {
    const bool quoted = value.empty() || value.find(' ') != std::string::npos;
    absl::StrAppend(&line, " ", key, "=", quoted ? "\"" : "", value, quoted ? "\"" : "");
  }
  return line;
}

}  // namespace

Reporter::Reporter(std::FILE* log) : log_(log), terminal_(isatty(STDERR_FILENO) == 1) {}

absl::StatusOr<std::unique_ptr<Reporter>> Reporter::Open(const std::string& log_path) {
  std::FILE* log = nullptr;
  if (!log_path.empty()) {
    log = std::fopen(log_path.c_str(), "ae");
    if (log == nullptr) return ErrnoStatus("cannot open the log", log_path);
  }
  return std::unique_ptr<Reporter>(new Reporter(log));
}

Reporter::~Reporter() {
  if (live_) std::fputc('\n', stderr);
  if (log_ != nullptr) std::fclose(log_);
}

void Reporter::Line(absl::string_view level, absl::string_view words, Fields fields) {
  const std::string line =
      absl::StrCat(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()), " ",
                   level, " weft-worker: ", Print(words, fields), "\n");
  if (live_) std::fputs("\r\x1b[K", stderr);
  live_ = false;
  std::fputs(line.c_str(), stderr);
  if (log_ != nullptr) {
    std::fputs(line.c_str(), log_);
    std::fflush(log_);
  }
}

void Reporter::Info(absl::string_view words, Fields fields) {
  waiting_.clear();
  Line("info", words, fields);
}

void Reporter::Warning(absl::string_view words, Fields fields) { Line("warning", words, fields); }

void Reporter::Progress(absl::string_view words, Fields fields, bool last) {
  waiting_.clear();
  const Clock::time_point now = Clock::now();
  if (!last && now - last_progress_ < (terminal_ ? kProgressOnTerminal : kProgressElsewhere))
    return;
  last_progress_ = now;
  if (!terminal_ || last) return Line("info", words, fields);
  std::fprintf(stderr, "\r\x1b[K%s", Print(words, fields).c_str());
  std::fflush(stderr);
  live_ = true;
}

void Reporter::Waiting(const std::string& reason) {
  const Clock::time_point now = Clock::now();
  if (reason == waiting_ && now - last_waiting_ < kWaitingAgain) return;
  Line("info", reason, {});
  waiting_ = reason;
  last_waiting_ = now;
}

}  // namespace weft
