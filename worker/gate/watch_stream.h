// The coordinator's stream of round events, read with a timeout: gRPC's synchronous reader would
// block without bound when the other end falls silent. Made by EgressGate only. Belongs to one
// thread, but for Cancel().
#ifndef WEFT_WORKER_GATE_WATCH_STREAM_H_
#define WEFT_WORKER_GATE_WATCH_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/coordinator.grpc.pb.h"

namespace weft {

class WatchStream {
 public:
  WatchStream(Coordinator::Stub* stub, const WatchRequest& request);
  ~WatchStream();  // ends the call
  WatchStream(const WatchStream&) = delete;
  WatchStream& operator=(const WatchStream&) = delete;

  enum class Next { kEvent, kNothingYet, kEnded };
  // kEvent fills `event`; after kEnded, status() says why.
  Next Wait(absl::Duration wait, RoundEvent* event);
  const grpc::Status& status() const { return status_; }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReader<RoundEvent>> reader_;
  RoundEvent incoming_;
  grpc::Status status_;
  bool ended_ = false;
};

}  // namespace weft

#endif  // WEFT_WORKER_GATE_WATCH_STREAM_H_
