// What a worker says while it works: one line an event on standard error (time, level, words,
// key=value), progress as one live line on a terminal and as a line every few seconds elsewhere.
// With a log file, every line also goes there. (ops/log.h says it in the other programs; a GPU node
// builds the worker without ops.) One thread.
#ifndef WEFT_WORKER_TRAINING_REPORTER_H_
#define WEFT_WORKER_TRAINING_REPORTER_H_

#include <chrono>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weft {

class Reporter {
 public:
  using Fields = std::initializer_list<std::pair<absl::string_view, std::string>>;

  // `log_path` may be empty.
  static absl::StatusOr<std::unique_ptr<Reporter>> Open(const std::string& log_path);
  ~Reporter();
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  void Info(absl::string_view words, Fields fields = {});
  void Warning(absl::string_view words, Fields fields = {});
  // May be called as often as there is progress. `last` is always shown.
  void Progress(absl::string_view words, Fields fields, bool last = false);
  // A reason to wait, said once, and again every half minute while it stays the same.
  void Waiting(const std::string& reason);

 private:
  explicit Reporter(std::FILE* log);
  void Line(absl::string_view level, absl::string_view words, Fields fields);

  std::FILE* log_;  // null: none
  bool terminal_;
  bool live_ = false;  // a live line stands on the terminal
  std::chrono::steady_clock::time_point last_progress_{};
  std::chrono::steady_clock::time_point last_waiting_{};
  std::string waiting_;
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_REPORTER_H_
