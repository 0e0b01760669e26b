#include "coordinator/server/work_thread.h"

#include <chrono>
#include <utility>

namespace weft {

WorkThread::WorkThread(absl::Duration period, std::function<void()> tick)
    : period_(period), tick_(std::move(tick)), thread_([this] { Run(); }) {}

WorkThread::~WorkThread() { Stop(); }

void WorkThread::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void WorkThread::Post(std::function<void()> task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ended_) return;
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void WorkThread::Run() {
  using Clock = std::chrono::steady_clock;
  const bool ticks = tick_ != nullptr;
  Clock::time_point due = Clock::now();
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    const auto something = [this] { return ending_ || !tasks_.empty(); };
    if (ticks) {
      wake_.wait_until(lock, due, something);
    } else {
      wake_.wait(lock, something);
    }
    if (ticks && !ending_ && Clock::now() >= due) {
      lock.unlock();
      tick_();
      due = Clock::now() + absl::ToChronoNanoseconds(period_);
      lock.lock();
    }
    if (tasks_.empty()) {
      if (!ending_) continue;
      ended_ = true;
      return;
    }
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
}

}  // namespace weft
