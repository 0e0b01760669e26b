// How far the coordinator's clock is from this machine's: from the time that a reply to a join
// tells, and when the call began and ended here. The coordinator read its clock some time in
// between, so the difference is known to half the call's duration, whatever the network did.
//
//   const ClockOffset clock = MeasureClock(sent, answered, reply.server_unix_ms());
#ifndef WEFT_WORKER_GATE_CLOCK_OFFSET_H_
#define WEFT_WORKER_GATE_CLOCK_OFFSET_H_

#include <time.h>

#include <cstdint>

#include "absl/time/time.h"

namespace weft {

struct ClockOffset {
  absl::Duration ahead;  // the coordinator's clock, of this machine's
  absl::Duration error;  // at most so much in either direction
  // Clocks that may well agree are taken to: a slow call would only make a good one worse.
  absl::Duration correction() const {
    return absl::AbsDuration(ahead) > error ? ahead : absl::ZeroDuration();
  }
};

// A coordinator that tells no time (0) is taken to have this machine's.
inline ClockOffset MeasureClock(absl::Time sent, absl::Time answered, int64_t server_unix_ms) {
  const absl::Duration error = (answered - sent) / 2;
  if (server_unix_ms == 0) return {absl::ZeroDuration(), error};
  return {absl::FromUnixMillis(server_unix_ms) - (sent + error), error};
}

// Time that nobody sets, and that goes on while the machine sleeps.
inline absl::Duration SinceBoot() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace weft

#endif  // WEFT_WORKER_GATE_CLOCK_OFFSET_H_
