#include <mutex>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/round_view.h"
#include "coordinator/server/stream_reactors.h"

namespace weft {
namespace {

class WatchReactor final : public grpc::ServerWriteReactor<RoundEvent>, public OpenStream {
 public:
  WatchReactor(const CoordinatorService& service, grpc::CallbackServerContext* call,
               const WatchRequest& request)
      : service_(service), call_(call), context_(request.context()), moved_(absl::Now()) {}

  void Start() {
    const Caller caller = service_.Identify(*call_, context_, SessionRule::kNeeded);
    site_ = caller.site;
    watching_ = !IsRefused(caller.refusal);
    const auto opened = [this] {
      if (watching_) service_.driver().Submit(SiteResumed{site_, context_.session_id()});
    };
    if (!service_.streams().AddWatch(this, site_, context_.session_id(), opened)) {
      const std::lock_guard<std::mutex> lock(mutex_);
      end_with_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many open streams");
      ending_ = true;
    }
    OnChange();
  }

  // Any thread.
  void OnChange() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      changed_ = true;
    }
    Advance();
  }
  void OnTick(absl::Time now) override {
    bool stuck = false, due = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stuck = writing_ && now - moved_ > kStreamIdleMax;
      due = !writing_ && now - moved_ >= service_.heartbeat();
    }
    if (stuck) call_->TryCancel();
    if (due) OnChange();
  }
  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      writing_ = false;
      moved_ = absl::Now();
      if (!ok) ending_ = true;
    }
    Advance();
  }
  void OnCancel() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
    }
    Advance();
  }
  void OnDone() override {
    // A watch that was cut may end long after the site has opened another one.
    service_.streams().RemoveWatch(this, [this] {
      if (watching_) service_.driver().Submit(SiteLost{site_, context_.session_id()});
    });
    delete this;
  }

 private:
  // Writes what is newest, or ends: never both, and never while a write is under way.
  void Advance() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (writing_ || finished_) return;
    if (ending_) {
      finished_ = true;
      lock.unlock();
      return Finish(end_with_);
    }
    if (!changed_) return;
    changed_ = false;
    writing_ = true;
    moved_ = absl::Now();
    lock.unlock();
    const Caller caller = service_.Identify(*call_, context_, SessionRule::kNeeded);
    event_ = RoundEventFor(service_.manifest(), *service_.driver().state(), site_,
                           context_.session_id());
    if (IsRefused(caller.refusal)) {
      service_.RecordRefusal(site_, caller.refusal);
      event_ = RoundEvent();  // what the run does is told to members only
      *event_.mutable_refusal() = caller.refusal;
      lock.lock();
      ending_ = true;
      lock.unlock();
    }
    StartWrite(&event_);
  }

  const CoordinatorService& service_;
  grpc::CallbackServerContext* const call_;
  const MessageContext context_;
  std::string site_;
  bool watching_ = false;
  RoundEvent event_;  // on its way; touched by who set writing_

  std::mutex mutex_;
  bool writing_ = false, changed_ = false, ending_ = false, finished_ = false;
  grpc::Status end_with_;
  absl::Time moved_;
};

}  // namespace

grpc::ServerWriteReactor<RoundEvent>* StartWatch(const CoordinatorService& service,
                                                 grpc::CallbackServerContext* call,
                                                 const WatchRequest& request) {
  auto* reactor = new WatchReactor(service, call, request);
  reactor->Start();
  return reactor;
}

}  // namespace weft
