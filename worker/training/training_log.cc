#include "worker/training/training_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>

#include "absl/strings/str_format.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

// Lines are about 110 bytes: enough for 600 million steps.
constexpr uint64_t kLogBytesMax = uint64_t{1} << 36;

}  // namespace

absl::StatusOr<TrainingLog> TrainingLog::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus("cannot open the training log", path);
  return TrainingLog(path, fd);
}

TrainingLog::~TrainingLog() {
  if (fd_ >= 0) close(fd_);
}

absl::Status TrainingLog::GoOnFrom(uint64_t round, uint64_t clock_step) {
  absl::StatusOr<std::string> text = ReadWholeFile(path_, kLogBytesMax);
  if (!text.ok()) return text.status();
  size_t keep = 0;
  while (keep < text->size()) {
    const size_t end = text->find('\n', keep);
    uint64_t line_round = 0, line_step = 0;
    if (end == std::string::npos ||
        std::sscanf(text->c_str() + keep, "{\"round\":%" SCNu64 ",\"step\":%" SCNu64, &line_round,
                    &line_step) != 2 ||
        std::pair(line_round, line_step) >= std::pair(round, clock_step)) {
      break;
    }
    keep = end + 1;
  }
  if (keep < text->size() && ftruncate(fd_, static_cast<off_t>(keep)) != 0) {
    return ErrnoStatus("cannot cut the training log", path_);
  }
  return absl::OkStatus();
}

absl::Status TrainingLog::Append(const StepReport& report) {
  const std::string line = absl::StrFormat(
      "{\"round\":%d,\"step\":%d,\"loss\":%.9g,\"learning_rate\":%.17g,\"gradient_norm\":%.9g}\n",
      report.round, report.clock_step, report.loss, report.learning_rate, report.gradient_norm);
  if (write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return ErrnoStatus("cannot write the training log", path_);
  }
  return absl::OkStatus();
}

absl::Status TrainingLog::Sync() {
  return fdatasync(fd_) == 0 ? absl::OkStatus() : ErrnoStatus("cannot sync", path_);
}

}  // namespace weft
