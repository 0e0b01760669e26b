// The one clock of a simulated federation: actions at instants, run in order of time, and of
// scheduling where the times are equal. Time passes only by running the next action.
//
//   scheduler.After(250, [&] { site.Poll(); });
//   while (scheduler.RunNext()) ...
//
// Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_SCHEDULER_H_
#define WEFT_TESTS_SIMULATION_SCHEDULER_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace weft::simulation {

class Scheduler {
 public:
  int64_t now_ms() const { return now_ms_; }

  void After(int64_t ms, std::function<void()> action) {
    heap_.push_back({now_ms_ + ms, sequence_++, std::move(action)});
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }
  // False: nothing is scheduled.
  bool RunNext() {
    if (heap_.empty()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    Item item = std::move(heap_.back());
    heap_.pop_back();
    now_ms_ = item.at_ms;
    item.action();
    return true;
  }

 private:
  struct Item {
    int64_t at_ms;
    uint64_t sequence;
    std::function<void()> action;
  };
  static bool Later(const Item& a, const Item& b) {
    return std::pair(a.at_ms, a.sequence) > std::pair(b.at_ms, b.sequence);
  }
  int64_t now_ms_ = 0;
  uint64_t sequence_ = 0;
  std::vector<Item> heap_;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_SCHEDULER_H_
