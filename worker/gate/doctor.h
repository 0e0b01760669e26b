// weft-gate doctor: before a run, is everything at this site as a run needs it? One small function
// a check, in a table that the runner goes through in order; later checks use what earlier ones
// found (the identity, the addresses, the connection), and are skipped with the reason where that
// is missing.
//
//   bool good = RunDoctor(options, [](const CheckReport& report) { Print(report); });
//
// Every check runs in a thread of its own and is given up after `check_seconds`: a hung network
// file system or name server is a finding, not a hung doctor. So a check takes the facts by value
// and returns those it has found.
//
// Add a check: a function here, a line in the table in doctor.cc.
#ifndef WEFT_WORKER_GATE_DOCTOR_H_
#define WEFT_WORKER_GATE_DOCTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ops/identity.h"
#include "ops/manifest.h"
#include "proto/coordinator.pb.h"
#include "worker/gate/clock_offset.h"

namespace weft {

struct DoctorOptions {
  std::string state, kit, coordinator, site_directory;
  std::vector<std::string> data;  // folders of token shards; none: not looked at
  double check_seconds = 20;
};

class DoctorConnection;  // ledger and EgressGate

// What earlier checks found.
struct DoctorFacts {
  std::optional<Identity> identity;
  std::optional<SignedManifest> manifest;
  std::string host, port;  // of the coordinator
  std::string proxy;       // HOST:PORT that gRPC goes through; empty: none
  std::vector<std::string> addresses;
  bool reachable = false;
  std::shared_ptr<DoctorConnection> connection;
  std::optional<JoinReply> answer;  // to asking whether this site may join
  ClockOffset clock;
};

struct Finding {
  enum class Result { kOk, kWarning, kFailed, kSkipped };
  Result result = Result::kOk;
  std::string words;
  std::string advice;  // what to do about it; empty where nothing is to be done
};

struct CheckReport {
  std::string check;
  Finding finding;
  double seconds = 0;
};

absl::string_view ResultName(Finding::Result result);  // ok, warning, FAILED, skipped

// True: no check failed. `each` is called as each ends.
bool RunDoctor(const DoctorOptions& options, const std::function<void(const CheckReport&)>& each);

// The checks. doctor_local.cc:
Finding CheckKit(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckAcceptedManifest(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckSiteDirectory(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckDiskSpace(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckTokenizer(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckMemory(const DoctorOptions& options, DoctorFacts* facts);
// doctor_network.cc: connects and shakes hands, and writes no byte of its own.
Finding CheckProxy(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckName(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckTcp(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckTls(const DoctorOptions& options, DoctorFacts* facts);
// doctor_session.cc: through EgressGate, with entries in the ledger.
Finding CheckMembership(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckClock(const DoctorOptions& options, DoctorFacts* facts);
Finding CheckBandwidth(const DoctorOptions& options, DoctorFacts* facts);

inline Finding Ok(std::string words) { return {Finding::Result::kOk, std::move(words), ""}; }
inline Finding Warning(std::string words, std::string advice) {
  return {Finding::Result::kWarning, std::move(words), std::move(advice)};
}
inline Finding Failed(std::string words, std::string advice) {
  return {Finding::Result::kFailed, std::move(words), std::move(advice)};
}
inline Finding Skipped(std::string words) {
  return {Finding::Result::kSkipped, std::move(words), ""};
}

// Parts that tests look at on their own.
// The proxy that gRPC takes for `host`: the first of grpc_proxy, https_proxy, http_proxy that is
// set, unless no_grpc_proxy (or, where that is not set, no_proxy) names the host's end.
std::string ProxyFor(const std::string& host,
                     const std::function<const char*(const char*)>& environment);
uint64_t ParameterCount(const ModelConfig& model);
// Of one training step on top of vectors: what the backward pass keeps, and the logits.
uint64_t ActivationBytes(const ModelConfig& model, const InnerTraining& training);

}  // namespace weft

#endif  // WEFT_WORKER_GATE_DOCTOR_H_
