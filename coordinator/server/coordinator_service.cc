#include "coordinator/server/coordinator_service.h"

#include <openssl/rand.h>

#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/round_view.h"
#include "coordinator/server/stream_reactors.h"
#include "proto/check.h"

namespace weft {
namespace {

constexpr size_t kReasonBytesMax = 500;  // of what a site says in words

std::string NewSession() {
  unsigned char bytes[16];
  WEFT_CHECK(RAND_bytes(bytes, sizeof bytes) == 1);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof bytes));
}

grpc::Status Trouble(const absl::Status& status) {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, std::string(status.message()));
}

// Answers a call with the refusal among the effects, if there is one.
template <typename Reply>
void Answer(const RoundDriver::Outcome& outcome, Reply* reply, grpc::ServerUnaryReactor* reactor) {
  if (!outcome.ok()) return reactor->Finish(Trouble(outcome.status()));
  for (const Effect& effect : *outcome) {
    if (const auto* refuse = std::get_if<Refuse>(&effect))
      *reply->mutable_refusal() = refuse->refusal;
  }
  reactor->Finish(grpc::Status::OK);
}

Refusal CheckReport(const RoundReport& report) {
  const bool finite = std::isfinite(report.first_loss()) && std::isfinite(report.last_loss()) &&
                      std::isfinite(report.seconds_training()) &&
                      std::isfinite(report.seconds_waiting());
  return finite ? Refusal()
                : MakeRefusal(Refusal::NOT_FINITE, "a number of the report is not finite");
}

}  // namespace

Caller CoordinatorService::Identify(const grpc::ServerContextBase& call,
                                    const MessageContext& context, SessionRule rule) const {
  return IdentifyCaller(call, manifest(), *driver_->state(), context, rule);
}

void CoordinatorService::RecordRefusal(const std::string& site, const Refusal& refusal) const {
  driver_->Submit(CallRefused{site, refusal});
}

grpc::ServerUnaryReactor* CoordinatorService::Join(grpc::CallbackServerContext* call,
                                                   const JoinRequest* request, JoinReply* reply) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  reply->set_server_unix_ms(absl::ToUnixMillis(absl::Now()));
  Caller caller = Identify(*call, request->context(), SessionRule::kNone);
  if (!IsRefused(caller.refusal) && request->site() != caller.site) {
    caller.refusal = MakeRefusal(Refusal::NOT_A_MEMBER,
                                 absl::StrCat("the certificate of ", caller.site,
                                              " was used to join as \"", request->site(), "\""));
  }
  if (!IsRefused(caller.refusal) && request->manifest_digest() != ToBytes(run_.manifest.digest)) {
    caller.refusal = MakeRefusal(
        Refusal::WRONG_MANIFEST,
        absl::StrCat("the site accepted manifest ", ShortHex(request->manifest_digest()),
                     "..., this run is of ", ToHex(run_.manifest.digest)));
  }
  if (IsRefused(caller.refusal)) {
    RecordRefusal(caller.site, caller.refusal);
    *reply->mutable_refusal() = caller.refusal;
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  if (request->only_asking()) {
    *reply->mutable_now() = RoundEventFor(manifest(), *driver_->state(), caller.site, "");
    *reply->mutable_context() = reply->now().context();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  const std::string session = NewSession();
  driver_->Submit(SiteJoined{caller.site, session}, [this, reply, reactor, session,
                                                     site = caller.site](const auto& outcome) {
    *reply->mutable_now() = RoundEventFor(manifest(), *driver_->state(), site, session);
    *reply->mutable_context() = reply->now().context();
    Answer(outcome, reply, reactor);
  });
  return reactor;
}

grpc::ServerUnaryReactor* CoordinatorService::Resume(grpc::CallbackServerContext* call,
                                                     const ResumeRequest* request,
                                                     PushReply* reply) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  const Caller caller = Identify(*call, request->context(), SessionRule::kNeeded);
  if (IsRefused(caller.refusal)) {
    *reply->mutable_refusal() = caller.refusal;
  } else {
    auto opening =
        intake_->Look(caller.site, request->signed_contribution(), request->chunk_sha256s());
    if (!opening.ok()) {
      reactor->Finish(Trouble(opening.status()));
      return reactor;
    }
    *reply = std::move(opening->reply);
  }
  if (reply->has_refusal()) RecordRefusal(caller.site, reply->refusal());
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* CoordinatorService::Report(grpc::CallbackServerContext* call,
                                                     const ReportRequest* request,
                                                     ReportReply* reply) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  Caller caller = Identify(*call, request->report().context(), SessionRule::kNeeded);
  if (!IsRefused(caller.refusal)) caller.refusal = CheckReport(request->report());
  if (IsRefused(caller.refusal)) {
    RecordRefusal(caller.site, caller.refusal);
    *reply->mutable_refusal() = caller.refusal;
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  driver_->Submit(ReportReceived{caller.site, request->report()},
                  [reply, reactor](const auto& outcome) { Answer(outcome, reply, reactor); });
  return reactor;
}

grpc::ServerUnaryReactor* CoordinatorService::Leave(grpc::CallbackServerContext* call,
                                                    const LeaveRequest* request,
                                                    LeaveReply* reply) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  const Caller caller = Identify(*call, request->context(), SessionRule::kNeeded);
  if (IsRefused(caller.refusal)) {
    RecordRefusal(caller.site, caller.refusal);
    *reply->mutable_refusal() = caller.refusal;
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  driver_->Submit(SiteLeft{caller.site, request->context().session_id(),
                           request->reason().substr(0, kReasonBytesMax)},
                  [reply, reactor](const auto& outcome) { Answer(outcome, reply, reactor); });
  return reactor;
}

grpc::ServerWriteReactor<RoundEvent>* CoordinatorService::Watch(grpc::CallbackServerContext* call,
                                                                const WatchRequest* request) {
  return StartWatch(*this, call, *request);
}

grpc::ServerWriteReactor<BlobChunk>* CoordinatorService::Pull(grpc::CallbackServerContext* call,
                                                              const PullRequest* request) {
  return StartPull(*this, call, *request);
}

grpc::ServerReadReactor<PushMessage>* CoordinatorService::Push(grpc::CallbackServerContext* call,
                                                               PushReply* reply) {
  return StartPush(*this, call, reply);
}

}  // namespace weft
