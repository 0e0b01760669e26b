// The only way out of a site, and the only owner of the connection to the coordinator.
//
// What may leave is a closed list of messages (kMayLeave in egress_policy.cc). Before the bytes of
// one leave, EgressGate checks them and writes them into the ledger; if either fails, nothing
// leaves:
//
//   - The message is on the list and names this run. It has no field that this program does not
//     know, no text above 200 bytes, and no more than 4 MiB.
//   - A push is announced by a signed contribution that names this run, site and layout, and whose
//     blob digest is that of the announced chunks. Each chunk is exactly one of those; the first
//     begins with the header of an encoded parameter vector.
//
//   auto egress = EgressGate::Create(options, ledger.get());
//   JoinReply reply;
//   absl::Status status = (*egress)->Join(request, absl::Seconds(20), &reply);
//   if (!status.ok()) ...                                  // the transport's trouble
//   if (reply.refusal().code() != Refusal::NONE) ...       // a refusal is an answer
//
// A failed connection says the likely causes. Belongs to one thread, but for Cancel().
#ifndef WEFT_WORKER_GATE_EGRESS_GATE_H_
#define WEFT_WORKER_GATE_EGRESS_GATE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "ops/identity.h"
#include "proto/coordinator.pb.h"
#include "proto/digest.h"
#include "worker/gate/egress_policy.h"
#include "worker/gate/ledger.h"

namespace weft {

struct EgressOptions {
  std::string target;  // HOST:PORT
  Identity identity;
  std::string run_id;
  Digest layout{};
  // Of one attempt to connect, and the longest pause before gRPC makes the next by itself.
  absl::Duration connect_max = absl::Seconds(5);
};

class EgressGate {
 public:
  static absl::StatusOr<std::unique_ptr<EgressGate>> Create(EgressOptions options, Ledger* ledger);
  ~EgressGate();
  EgressGate(const EgressGate&) = delete;
  EgressGate& operator=(const EgressGate&) = delete;

  absl::Status Join(const JoinRequest& request, absl::Duration deadline, JoinReply* reply);
  absl::Status Resume(const ResumeRequest& request, absl::Duration deadline, PushReply* reply);
  absl::Status Report(const ReportRequest& request, absl::Duration deadline, ReportReply* reply);
  absl::Status Leave(const LeaveRequest& request, absl::Duration deadline, LeaveReply* reply);

  // Calls `each` for every chunk; its error ends the call and is returned.
  absl::Status Pull(const PullRequest& request, absl::Duration deadline,
                    const std::function<absl::Status(const BlobChunk&)>& each);
  // Sends what `next` returns until it returns none; its error ends the call and is returned.
  absl::Status Push(const std::function<absl::StatusOr<std::optional<PushMessage>>()>& next,
                    absl::Duration deadline, PushReply* reply);

  // One watch at a time: opening one closes the other.
  absl::Status OpenWatch(const WatchRequest& request);
  // DeadlineExceeded: none came within `wait`. Any other error: the watch has ended, with its
  // reason.
  absl::StatusOr<RoundEvent> NextEvent(absl::Duration wait);
  bool watching() const;
  void CloseWatch();

  // Gives up the connection and makes another: what a silent one is followed by.
  void Reconnect();
  // Ends the call in progress, and refuses later ones. From any thread.
  void Cancel();

 private:
  struct Connection;
  EgressGate(EgressOptions options, Ledger* ledger);

  // Checks and records. FailedPrecondition or PermissionDenied: it must not leave.
  absl::Status Admit(const google::protobuf::Message& message);
  template <typename Request, typename Reply, typename Method>
  absl::Status Call(Method method, const Request& request, absl::Duration deadline, Reply* reply);

  EgressOptions options_;
  EgressPolicy policy_;
  Ledger* ledger_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace weft

#endif  // WEFT_WORKER_GATE_EGRESS_GATE_H_
