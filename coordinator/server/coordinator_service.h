// The coordinator's service over gRPC's callback API: who calls is checked on every call, small
// questions are answered from the driver's state, streams are reactors of their own, and nothing
// waits on a gRPC thread.
//
// A refusal is an answer (gRPC status OK, `refusal` set): it is logged and recorded here, and final
// for the site. A gRPC error is this machine's or the network's trouble, and may be tried again.
// Thread-safe.
#ifndef WEFT_COORDINATOR_SERVER_COORDINATOR_SERVICE_H_
#define WEFT_COORDINATOR_SERVER_COORDINATOR_SERVICE_H_

#include <string>

#include "absl/time/time.h"
#include "coordinator/server/caller.h"
#include "coordinator/server/contribution_intake.h"
#include "coordinator/server/open_streams.h"
#include "coordinator/server/round_driver.h"
#include "coordinator/server/run_folder.h"
#include "proto/coordinator.grpc.pb.h"

namespace weft {

class CoordinatorService final : public Coordinator::CallbackService {
 public:
  CoordinatorService(const LoadedRun& run, RoundDriver* driver, ContributionIntake* intake,
                     OpenStreams* streams, absl::Duration heartbeat)
      : run_(run), driver_(driver), intake_(intake), streams_(streams), heartbeat_(heartbeat) {}

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* call, const JoinRequest* request,
                                 JoinReply* reply) override;
  grpc::ServerUnaryReactor* Resume(grpc::CallbackServerContext* call, const ResumeRequest* request,
                                   PushReply* reply) override;
  grpc::ServerUnaryReactor* Report(grpc::CallbackServerContext* call, const ReportRequest* request,
                                   ReportReply* reply) override;
  grpc::ServerUnaryReactor* Leave(grpc::CallbackServerContext* call, const LeaveRequest* request,
                                  LeaveReply* reply) override;
  grpc::ServerWriteReactor<RoundEvent>* Watch(grpc::CallbackServerContext* call,
                                              const WatchRequest* request) override;
  grpc::ServerWriteReactor<BlobChunk>* Pull(grpc::CallbackServerContext* call,
                                            const PullRequest* request) override;
  grpc::ServerReadReactor<PushMessage>* Push(grpc::CallbackServerContext* call,
                                             PushReply* reply) override;

  // What the reactors need.
  Caller Identify(const grpc::ServerContextBase& call, const MessageContext& context,
                  SessionRule rule) const;
  void RecordRefusal(const std::string& site, const Refusal& refusal) const;
  const RunManifest& manifest() const { return run_.manifest.manifest; }
  RoundDriver& driver() const { return *driver_; }
  ContributionIntake& intake() const { return *intake_; }
  OpenStreams& streams() const { return *streams_; }
  absl::Duration heartbeat() const { return heartbeat_; }

 private:
  const LoadedRun& run_;
  RoundDriver* const driver_;
  ContributionIntake* const intake_;
  OpenStreams* const streams_;
  const absl::Duration heartbeat_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_COORDINATOR_SERVICE_H_
