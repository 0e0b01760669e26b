#include "worker/gate/watch_stream.h"

#include "absl/time/clock.h"

namespace weft {
namespace {

// Exactly one operation is under way at a time; its tag says which.
void* const kStart = reinterpret_cast<void*>(1);
void* const kRead = reinterpret_cast<void*>(2);
void* const kFinish = reinterpret_cast<void*>(3);

}  // namespace

WatchStream::WatchStream(Coordinator::Stub* stub, const WatchRequest& request)
    : reader_(stub->PrepareAsyncWatch(&context_, request, &queue_)) {
  reader_->StartCall(kStart);
}

WatchStream::~WatchStream() {
  context_.TryCancel();
  RoundEvent ignored;
  while (!ended_) Wait(absl::Seconds(1), &ignored);  // A cancelled call ends at once.
  queue_.Shutdown();
  void* tag;
  bool ok;
  while (queue_.Next(&tag, &ok)) {
  }
}

WatchStream::Next WatchStream::Wait(absl::Duration wait, RoundEvent* event) {
  const auto deadline = absl::ToChronoTime(absl::Now() + wait);
  while (!ended_) {
    void* tag = nullptr;
    bool ok = false;
    if (queue_.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT)
      return Next::kNothingYet;
    if (tag == kFinish) {
      ended_ = true;
    } else if (!ok) {
      reader_->Finish(&status_, kFinish);
    } else {
      if (tag == kRead) event->Swap(&incoming_);
      incoming_.Clear();
      reader_->Read(&incoming_, kRead);
      if (tag == kRead) return Next::kEvent;
    }
  }
  return Next::kEnded;
}

}  // namespace weft
