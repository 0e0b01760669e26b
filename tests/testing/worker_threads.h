// Some threads that do work in the order in which it was given, each piece whole on one of them.
//
//   WorkerThreads threads(2);
//   std::future<int> answer = threads.Do([] { return 42; });
//
// Do is for one thread at a time. The end waits for what was given.
#ifndef WEFT_TESTS_TESTING_WORKER_THREADS_H_
#define WEFT_TESTS_TESTING_WORKER_THREADS_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft::testing {

class WorkerThreads {
 public:
  explicit WorkerThreads(int count) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { Run(); });
  }
  ~WorkerThreads() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

  template <typename Work>
  std::future<std::invoke_result_t<Work>> Do(Work work) {
    auto task = std::make_shared<std::packaged_task<std::invoke_result_t<Work>()>>(std::move(work));
    std::future<std::invoke_result_t<Work>> result = task->get_future();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_.push_back([task] { (*task)(); });
    }
    changed_.notify_one();
    return result;
  }

 private:
  void Run() {
    while (true) {
      std::function<void()> work;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
        if (waiting_.empty()) return;
        work = std::move(waiting_.front());
        waiting_.pop_front();
      }
      work();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_WORKER_THREADS_H_
