#include "coordinator/server/coordinator_server.h"

#include <grpc/support/log.h>

#include <chrono>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ops/log.h"

namespace weft {
namespace {

constexpr int kMessageBytesMax = 4 << 20;
constexpr int kStreamsPerConnectionMax = 32;

// gRPC 1.51 has no setter for the lowest version of TLS. With certificates on ECDSA keys, a list of
// RSA-only suites for TLS 1.2 leaves TLS 1.3 alone, whose suites this list does not touch (RFC
// 8446, B.4).
void AllowOnlyTls13() {
  setenv("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", 1);
}

// Where TLS itself refuses a peer, only gRPC's own log says which check failed.
void LogOfGrpc(gpr_log_func_args* args) {
  if (args->severity == GPR_LOG_SEVERITY_ERROR) LogWarning(absl::StrCat("gRPC: ", args->message));
}

std::shared_ptr<grpc::ServerCredentials> MakeCredentials(const Identity& identity) {
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = identity.authority_pem;
  options.pem_key_cert_pairs.push_back({identity.key_pem, identity.certificate_pem});
  return grpc::SslServerCredentials(options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(
    const LoadedRun& run, const Options& options) {
  AllowOnlyTls13();
  gpr_set_log_function(&LogOfGrpc);
  std::unique_ptr<CoordinatorServer> self(new CoordinatorServer());
  CoordinatorServer* raw = self.get();
  RoundDriver::Listener listener;
  listener.on_change = [raw] { raw->streams_.ForEach([](OpenStream* s) { s->OnChange(); }); };
  listener.on_tick = [raw] {
    const absl::Time now = absl::Now();
    raw->streams_.ForEach([now](OpenStream* s) { s->OnTick(now); });
  };
  listener.on_failure = [raw](absl::Status status) {
    const std::lock_guard<std::mutex> lock(raw->mutex_);
    raw->failure_ = std::move(status);
  };
  auto driver = RoundDriver::Create(run, {.keep_contributions = options.keep_contributions},
                                    std::move(listener));
  if (!driver.ok()) return driver.status();
  self->driver_ = *std::move(driver);
  auto intake = ContributionIntake::Create(run, self->driver_.get());
  if (!intake.ok()) return intake.status();
  self->intake_ = *std::move(intake);
  self->service_ = std::make_unique<CoordinatorService>(
      run, self->driver_.get(), self->intake_.get(), &self->streams_, options.heartbeat);

  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.listen, MakeCredentials(run.identity), &self->port_);
  builder.RegisterService(self->service_.get());
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
  // Gates ping to hold their NAT bindings; a peer that does not answer ours is gone.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000);
  // A second coordinator on the same port is refused, rather than given half of the connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  self->server_ = builder.BuildAndStart();
  if (self->server_ == nullptr || self->port_ == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.listen,
                                               ": is the address right, and is the port free?"));
  }
  return self;
}

CoordinatorServer::~CoordinatorServer() { Stop(); }

absl::Status CoordinatorServer::failure() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return failure_;
}

void CoordinatorServer::Stop() {
  if (server_ != nullptr)
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  // No call is left; what the checks have under way is answered by the driver, which ends last.
  intake_.reset();
  driver_.reset();
  server_.reset();
}

}  // namespace weft
