#include "worker/gate/egress_gate.h"

#include <grpcpp/grpcpp.h>

#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/coordinator.grpc.pb.h"
#include "worker/gate/watch_stream.h"

namespace weft {
namespace {

bool LooksLikeTls(const std::string& words) {
  for (const char* sign : {"handshake", "SSL", "Ssl", "certificate", "Socket closed",
                           "reset by peer", "Broken pipe", "connection attempt timed out"}) {
    if (absl::StrContains(words, sign)) return true;
  }
  return false;
}

// gRPC's words, and for a connection that was not made, what a person can look for.
absl::Status FromGrpc(const grpc::Status& status, const std::string& target) {
  if (status.ok()) return absl::OkStatus();
  std::string words = absl::StrCat(target, ": ", status.error_message());
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    if (absl::StrContains(words, "Connection refused")) {
      absl::StrAppend(
          &words, " (nothing listens there: is the coordinator running, are host and port right?)");
    } else if (LooksLikeTls(words)) {
      absl::StrAppend(&words,
                      " (where TLS refuses, the likely causes are: the two certificates are not of "
                      "the same run "
                      "authority; one of them has expired; a clock is wrong; the coordinator's "
                      "certificate does not name "
                      "this host; this site's certificate was revoked; or the coordinator went "
                      "away. Compare `weft-ops "
                      "keys show` at both ends; the coordinator's log says which check failed)");
    }
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), words);
}

grpc::ChannelArguments ChannelOptions(absl::Duration connect_max) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kMessageBytesMax));
  arguments.SetMaxSendMessageSize(static_cast<int>(kMessageBytesMax));
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES,
                   0);  // A retry that the ledger does not see would be bytes unaccounted for.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
                   1);  // Reconnect() really makes a new connection.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  const int connect_ms = static_cast<int>(absl::ToInt64Milliseconds(connect_max));
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, connect_ms);  // the bound of one attempt
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, connect_ms);
  return arguments;
}

}  // namespace

struct EgressGate::Connection {
  std::unique_ptr<Coordinator::Stub> stub;
  std::unique_ptr<WatchStream> watch;
  std::mutex mutex;  // of what Cancel() touches
  grpc::ClientContext* active = nullptr;
  bool cancelled = false;
};

namespace {

void SetDeadline(grpc::ClientContext* context, absl::Duration deadline) {
  context->set_deadline(absl::ToChronoTime(absl::Now() + deadline));
}

}  // namespace

EgressGate::EgressGate(EgressOptions options, Ledger* ledger)
    : options_(std::move(options)),
      policy_(options_.run_id, options_.identity.name, options_.layout),
      ledger_(ledger),
      connection_(std::make_unique<Connection>()) {}

EgressGate::~EgressGate() = default;

absl::StatusOr<std::unique_ptr<EgressGate>> EgressGate::Create(EgressOptions options,
                                                               Ledger* ledger) {
  if (options.target.find(':') == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("coordinator '", options.target, "': HOST:PORT is expected"));
  }
  std::unique_ptr<EgressGate> egress(new EgressGate(std::move(options), ledger));
  egress->Reconnect();
  return egress;
}

void EgressGate::Reconnect() {
  connection_->watch.reset();
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = options_.identity.authority_pem;
  tls.pem_private_key = options_.identity.key_pem;
  tls.pem_cert_chain = options_.identity.certificate_pem;
  connection_->stub = Coordinator::NewStub(grpc::CreateCustomChannel(
      options_.target, grpc::SslCredentials(tls), ChannelOptions(options_.connect_max)));
}

void EgressGate::Cancel() {
  std::lock_guard<std::mutex> lock(connection_->mutex);
  connection_->cancelled = true;
  if (connection_->active != nullptr) connection_->active->TryCancel();
}

absl::Status EgressGate::Admit(const google::protobuf::Message& message) {
  absl::StatusOr<EgressLabel> label = policy_.Check(message);
  if (!label.ok()) return label.status();
  absl::Status recorded = ledger_->AppendSent(label->type, options_.run_id, label->round,
                                              message.SerializeAsString(), label->note);
  if (!recorded.ok()) return absl::FailedPreconditionError(recorded.message());
  return absl::OkStatus();
}

namespace {

// Makes a call visible to Cancel() while it runs.
template <typename Connection>
class Active {
 public:
  Active(Connection* connection, grpc::ClientContext* context) : connection_(connection) {
    std::lock_guard<std::mutex> lock(connection_->mutex);
    connection_->active = context;
    if (connection_->cancelled) context->TryCancel();
  }
  ~Active() {
    std::lock_guard<std::mutex> lock(connection_->mutex);
    connection_->active = nullptr;
  }

 private:
  Connection* connection_;
};

}  // namespace

template <typename Request, typename Reply, typename Method>
absl::Status EgressGate::Call(Method method, const Request& request, absl::Duration deadline,
                              Reply* reply) {
  if (absl::Status status = Admit(request); !status.ok()) return status;
  grpc::ClientContext context;
  SetDeadline(&context, deadline);
  Active<Connection> active(connection_.get(), &context);
  const grpc::Status status = (connection_->stub.get()->*method)(&context, request, reply);
  return FromGrpc(status, options_.target);
}

absl::Status EgressGate::Join(const JoinRequest& request, absl::Duration deadline,
                              JoinReply* reply) {
  return Call(&Coordinator::Stub::Join, request, deadline, reply);
}
absl::Status EgressGate::Resume(const ResumeRequest& request, absl::Duration deadline,
                                PushReply* reply) {
  return Call(&Coordinator::Stub::Resume, request, deadline, reply);
}
absl::Status EgressGate::Report(const ReportRequest& request, absl::Duration deadline,
                                ReportReply* reply) {
  return Call(&Coordinator::Stub::Report, request, deadline, reply);
}
absl::Status EgressGate::Leave(const LeaveRequest& request, absl::Duration deadline,
                               LeaveReply* reply) {
  return Call(&Coordinator::Stub::Leave, request, deadline, reply);
}

absl::Status EgressGate::Pull(const PullRequest& request, absl::Duration deadline,
                              const std::function<absl::Status(const BlobChunk&)>& each) {
  if (absl::Status status = Admit(request); !status.ok()) return status;
  grpc::ClientContext context;
  SetDeadline(&context, deadline);
  Active<Connection> active(connection_.get(), &context);
  auto reader = connection_->stub->Pull(&context, request);
  BlobChunk chunk;
  absl::Status taken;
  while (taken.ok() && reader->Read(&chunk)) taken = each(chunk);
  if (!taken.ok()) context.TryCancel();
  const grpc::Status status = reader->Finish();
  return taken.ok() ? FromGrpc(status, options_.target) : taken;
}

absl::Status EgressGate::Push(
    const std::function<absl::StatusOr<std::optional<PushMessage>>()>& next,
    absl::Duration deadline, PushReply* reply) {
  grpc::ClientContext context;
  SetDeadline(&context, deadline);
  Active<Connection> active(connection_.get(), &context);
  auto writer = connection_->stub->Push(&context, reply);
  absl::Status made;
  while (true) {
    absl::StatusOr<std::optional<PushMessage>> message = next();
    made = message.status();
    if (!made.ok() || !message->has_value()) break;
    made = Admit(**message);
    // A stream that the other end closed has its reply or its error waiting.
    if (!made.ok() || !writer->Write(**message)) break;
  }
  if (made.ok()) {
    writer->WritesDone();
  } else {
    context.TryCancel();
  }
  const grpc::Status status = writer->Finish();
  return made.ok() ? FromGrpc(status, options_.target) : made;
}

absl::Status EgressGate::OpenWatch(const WatchRequest& request) {
  if (absl::Status status = Admit(request); !status.ok()) return status;
  connection_->watch.reset();
  connection_->watch = std::make_unique<WatchStream>(connection_->stub.get(), request);
  return absl::OkStatus();
}

bool EgressGate::watching() const { return connection_->watch != nullptr; }

void EgressGate::CloseWatch() { connection_->watch.reset(); }

absl::StatusOr<RoundEvent> EgressGate::NextEvent(absl::Duration wait) {
  if (!watching()) return absl::UnavailableError("no watch is open");
  RoundEvent event;
  switch (connection_->watch->Wait(wait, &event)) {
    case WatchStream::Next::kEvent:
      return event;
    case WatchStream::Next::kNothingYet:
      return absl::DeadlineExceededError("no event yet");
    case WatchStream::Next::kEnded:
      break;
  }
  const absl::Status why = FromGrpc(connection_->watch->status(), options_.target);
  connection_->watch.reset();
  if (why.ok())
    return absl::UnavailableError(
        absl::StrCat(options_.target, ": the coordinator ended the watch"));
  // DeadlineExceeded means "nothing yet" here.
  return absl::IsDeadlineExceeded(why) ? absl::UnavailableError(why.message()) : why;
}

}  // namespace weft
