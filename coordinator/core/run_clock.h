// The run's time: the wall clock's when the process starts, then a steady clock's. A wall clock
// that is set forward and back again moves no deadline: the machine's time never goes back, and
// would otherwise stand still, and every deadline with it, for as long as the clock had been wrong.
//
//   RunClock clock(state.now_unix_ms(), wall_unix_ms, steady_ms);
//   machine.Step(TimeAdvanced{clock.UnixMs(steady_ms)});
//
// A restart goes on from the newest time that the state knows. Pure; a value.
#ifndef WEFT_COORDINATOR_CORE_RUN_CLOCK_H_
#define WEFT_COORDINATOR_CORE_RUN_CLOCK_H_

#include <algorithm>
#include <cstdint>

namespace weft {

class RunClock {
 public:
  RunClock(int64_t newest_unix_ms, int64_t wall_unix_ms, int64_t steady_ms)
      : begin_unix_ms_(std::max(newest_unix_ms, wall_unix_ms)), begin_steady_ms_(steady_ms) {}
  int64_t UnixMs(int64_t steady_ms) const {
    return begin_unix_ms_ + (steady_ms - begin_steady_ms_);
  }

 private:
  int64_t begin_unix_ms_;
  int64_t begin_steady_ms_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_RUN_CLOCK_H_
