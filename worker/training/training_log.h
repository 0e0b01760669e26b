// A file with one line for every inner step that counts:
//
//   {"round":2,"step":37,"loss":5.12345695,"learning_rate":0.00099,"gradient_norm":0.731}
//
// `step` is of the run's step clock; losses are printed so that they read back to the same float. A
// worker that was killed does some steps again: their old lines are cut off first, so a line stays
// one step. One thread.
#ifndef WEFT_WORKER_TRAINING_TRAINING_LOG_H_
#define WEFT_WORKER_TRAINING_TRAINING_LOG_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/training/trainer.h"

namespace weft {

class TrainingLog {
 public:
  static absl::StatusOr<TrainingLog> Open(const std::string& path);
  TrainingLog(TrainingLog&& other) noexcept
      : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  TrainingLog& operator=(TrainingLog&&) = delete;
  ~TrainingLog();

  // Cuts off the lines of this step and later ones, and a last line that was not finished.
  absl::Status GoOnFrom(uint64_t round, uint64_t clock_step);
  absl::Status Append(const StepReport& report);
  // On disk, before a checkpoint that stands after these lines.
  absl::Status Sync();

 private:
  TrainingLog(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_TRAINING_LOG_H_
