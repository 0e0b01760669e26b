// The coordinator as it listens: mutual TLS 1.3 with the run authority as the only root, limits on
// what a connection may take, the service, and the driver behind it.
//
//   auto server = *CoordinatorServer::Start(run, {.listen = "127.0.0.1:0"});
//   absl::Status status = server->failed() ? ...
//   server->Stop();
//
// One a process: gRPC reads its cipher list from the environment, once.
#ifndef WEFT_COORDINATOR_SERVER_COORDINATOR_SERVER_H_
#define WEFT_COORDINATOR_SERVER_COORDINATOR_SERVER_H_

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/server/coordinator_service.h"

namespace weft {

class CoordinatorServer {
 public:
  struct Options {
    std::string listen;  // host:port; port 0: any
    absl::Duration heartbeat = absl::Seconds(5);
    bool keep_contributions = false;
  };
  // `run` outlives the server.
  static absl::StatusOr<std::unique_ptr<CoordinatorServer>> Start(const LoadedRun& run,
                                                                  const Options& options);
  ~CoordinatorServer();

  int port() const { return port_; }
  // Not OK: the coordinator's own disk failed, and nothing more is decided.
  absl::Status failure() const;
  // Ends the streams and waits for what is under way. The destructor does it, too.
  void Stop();

 private:
  CoordinatorServer() = default;

  mutable std::mutex mutex_;
  absl::Status failure_;
  int port_ = 0;
  OpenStreams streams_;
  std::unique_ptr<RoundDriver> driver_;
  std::unique_ptr<ContributionIntake> intake_;  // its checks submit to the driver
  std::unique_ptr<CoordinatorService> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_COORDINATOR_SERVER_H_
