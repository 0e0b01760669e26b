// A thread with a queue: what is posted runs in order, one at a time. The coordinator's loop is
// one, its long work on disk is another, so that no gRPC thread waits for either.
//
//   WorkThread loop(absl::Milliseconds(200), [&] { Tick(); });   // the tick is never later than
//   the task under way loop.Post([&] { Handle(event); });
//
// Thread-safe.
#ifndef WEFT_COORDINATOR_SERVER_WORK_THREAD_H_
#define WEFT_COORDINATOR_SERVER_WORK_THREAD_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/time/time.h"

namespace weft {

class WorkThread {
 public:
  WorkThread() : WorkThread(absl::InfiniteDuration(), nullptr) {}
  WorkThread(absl::Duration period, std::function<void()> tick);
  ~WorkThread();
  WorkThread(const WorkThread&) = delete;
  WorkThread& operator=(const WorkThread&) = delete;

  // Dropped after Stop.
  void Post(std::function<void()> task);
  // Runs what was posted, and ends the thread. The destructor does it, too; two threads that post
  // to each other are both stopped before either is destroyed.
  void Stop();

 private:
  void Run();

  const absl::Duration period_;
  const std::function<void()> tick_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool ending_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_WORK_THREAD_H_
