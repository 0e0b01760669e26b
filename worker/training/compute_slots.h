// Turns for workers that share a machine's cores: a worker computes only while it holds one of N
// lock files in a folder that they all know. The kernel frees a slot when its holder's process
// ends, however it ends.
//
//   ComputeSlots slots("slots", 2);
//   absl::StatusOr<ComputeSlot> slot = slots.Acquire([&] { return interrupted ? ... : ...; });
#ifndef WEFT_WORKER_TRAINING_COMPUTE_SLOTS_H_
#define WEFT_WORKER_TRAINING_COMPUTE_SLOTS_H_

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weft {

// A held slot; movable, freed when it goes.
class ComputeSlot {
 public:
  ComputeSlot() = default;  // of a machine without slots: holds nothing
  ComputeSlot(ComputeSlot&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ComputeSlot& operator=(ComputeSlot&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~ComputeSlot();

 private:
  friend class ComputeSlots;
  explicit ComputeSlot(int fd) : fd_(fd) {}
  int fd_ = -1;
};

class ComputeSlots {
 public:
  // An empty folder's name, or a count of 0: no slots, every Acquire succeeds at once.
  ComputeSlots(std::string folder, int count) : folder_(std::move(folder)), count_(count) {}

  // Polls until a slot is free. `wait` is called before each pause, with the reason in words; what
  // it returns, if not ok, ends the waiting: the caller bounds it and says why it waits.
  absl::StatusOr<ComputeSlot> Acquire(
      const std::function<absl::Status(const std::string& reason)>& wait) const;

 private:
  std::string folder_;
  int count_;
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_COMPUTE_SLOTS_H_
