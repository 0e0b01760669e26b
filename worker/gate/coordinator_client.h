// The coordinator's calls as the gate makes them: with deadlines, tried again with exponential
// back-off and jitter for everything that is not a refusal, and within a bound; every failed
// attempt is printed with its reason.
//
// A refusal is an answer, not an error: it comes back inside the reply. An error status means:
// given up, and why.
//
//   CoordinatorClient client(egress.get(), ClientOptions{}, &stop);
//   absl::StatusOr<JoinReply> joined = client.Join(request);
//   client.SetContext(joined->context());
//   absl::StatusOr<RoundEvent> event = client.NextEvent(absl::Milliseconds(200));
//
// Belongs to one thread; `stop` may be set from any.
#ifndef WEFT_WORKER_GATE_COORDINATOR_CLIENT_H_
#define WEFT_WORKER_GATE_COORDINATOR_CLIENT_H_

#include <atomic>
#include <functional>
#include <random>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/coordinator.pb.h"
#include "worker/gate/clock_offset.h"
#include "worker/gate/contribution.h"
#include "worker/gate/egress_gate.h"

namespace weft {

struct ClientOptions {
  absl::Duration call_deadline = absl::Seconds(20);
  absl::Duration chunk_deadline =
      absl::Seconds(15);  // added for every chunk of a call: 70 kB/s at the least
  absl::Duration backoff_first = absl::Milliseconds(200);
  absl::Duration backoff_max = absl::Seconds(30);
  absl::Duration patience = absl::Hours(24);  // then an operation is given up
  absl::Duration silence_max =
      absl::Seconds(20);  // of a watch, whose heartbeats come every few seconds
  int damaged_max = 5;    // damaged or lying answers in a row, then given up
  uint32_t chunks_per_call = 64;
};

// Doubling waits, each drawn between a half and the whole of it, so that many sites do not come
// back in one instant.
class Backoff {
 public:
  Backoff(absl::Duration first, absl::Duration max)
      : first_(first), max_(max), random_(std::random_device{}()) {}
  absl::Duration Next();
  void Reset() { failures_ = 0; }

 private:
  absl::Duration first_, max_;
  int failures_ = 0;
  std::minstd_rand random_;
};

class CoordinatorClient {
 public:
  CoordinatorClient(EgressGate* egress, ClientOptions options, const std::atomic<bool>* stop)
      : egress_(egress),
        options_(options),
        stop_(stop),
        watch_backoff_(options.backoff_first, options.backoff_max) {}

  // Epoch and session of all later calls.
  void SetContext(MessageContext context) { context_ = std::move(context); }
  const MessageContext& context() const { return context_; }

  absl::StatusOr<JoinReply> Join(const JoinRequest& request);
  // Measured by the join that was answered last.
  const ClockOffset& clock() const { return clock_; }
  absl::StatusOr<ReportReply> Report(RoundReport report);
  // Tried for a few seconds only: a site may always go.
  absl::StatusOr<LeaveReply> Leave(const std::string& reason);
  // Ends with stored, or with a refusal.
  absl::StatusOr<PushReply> Push(const FormedContribution& contribution,
                                 const std::string& blob_path);
  // Fetches a blob into the file `partial`, which holds its first chunks already if an earlier
  // attempt got so far. On success with refusal NONE the file is the whole blob, and its digest was
  // checked.
  absl::StatusOr<Refusal> Pull(const Digest& digest, uint64_t blob_bytes,
                               const std::string& partial);

  // The next event of the watch, opening it where needed. DeadlineExceeded: none yet. Unavailable:
  // the connection was lost or silent, and will be tried again by later calls; anything else is
  // final.
  absl::StatusOr<RoundEvent> NextEvent(absl::Duration wait);

 private:
  absl::Status Retry(absl::string_view what, absl::Duration patience,
                     const std::function<absl::Status()>& attempt);
  absl::Status PushMissing(const FormedContribution& contribution, const std::string& blob_path,
                           PushReply* reply);
  void Sleep(absl::Duration time) const;

  EgressGate* egress_;
  ClientOptions options_;
  const std::atomic<bool>* stop_;
  MessageContext context_;
  ClockOffset clock_;
  Backoff watch_backoff_;
  absl::Time next_watch_ = absl::InfinitePast();
  absl::Duration silent_for_;
};

}  // namespace weft

#endif  // WEFT_WORKER_GATE_COORDINATOR_CLIENT_H_
