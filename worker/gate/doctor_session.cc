// The doctor's checks that speak with the coordinator: through EgressGate and with entries in the
// site's ledger, like a gate, but without a session, so that nothing changes there.
#include <algorithm>
#include <atomic>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "proto/blob_digest.h"
#include "worker/gate/coordinator_client.h"
#include "worker/gate/doctor.h"
#include "worker/gate/egress_gate.h"
#include "worker/gate/gate_folder.h"
#include "worker/gate/ledger.h"

namespace weft {
namespace {

constexpr uint32_t kProbeChunks = 8;
constexpr absl::Duration kClockWarning = absl::Seconds(5), kClockMax = absl::Seconds(60);

}  // namespace

// A gate may run with the same state folder: the ledger takes entries of both.
class DoctorConnection {
 public:
  static absl::StatusOr<std::shared_ptr<DoctorConnection>> Open(const DoctorOptions& options,
                                                                const DoctorFacts& facts) {
    auto connection = std::make_shared<DoctorConnection>();
    auto ledger = Ledger::Open(GateFolder(options.state).ledger_path());
    if (!ledger.ok()) return ledger.status();
    connection->ledger = *std::move(ledger);
    const RunManifest& manifest = facts.manifest->manifest;
    absl::StatusOr<Digest> layout = DigestFromHex(manifest.layout_digest());
    if (!layout.ok()) return layout.status();
    auto egress =
        EgressGate::Create({options.coordinator, *facts.identity, manifest.run_id(), *layout},
                           connection->ledger.get());
    if (!egress.ok()) return egress.status();
    connection->egress = *std::move(egress);
    return connection;
  }

  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<EgressGate> egress;
};

namespace {

std::string RefusalWords(const Refusal& refusal) {
  return absl::StrCat("refused: ", Refusal::Code_Name(refusal.code()), ": ", refusal.reason());
}

std::string AdviceFor(Refusal::Code code) {
  switch (code) {
    case Refusal::NOT_A_MEMBER:
    case Refusal::REVOKED:
    case Refusal::WRONG_KEY:
      return "Send the kit's public key to the run's authority: the membership must name it";
    case Refusal::WRONG_MANIFEST:
    case Refusal::WRONG_RUN:
      return "Get the run's signed manifest again, and run `weft-gate accept` with it";
    case Refusal::PROTOCOL_VERSION:
      return "Use the release of Weft that the coordinator runs";
    default:
      return "Ask the run's operator";
  }
}

}  // namespace

Finding CheckMembership(const DoctorOptions& options, DoctorFacts* facts) {
  if (!facts->manifest.has_value()) return Skipped("needs kit and manifest");
  if (!facts->reachable && facts->proxy.empty()) return Skipped("needs tcp");
  auto connection = DoctorConnection::Open(options, *facts);
  if (!connection.ok()) {
    return Failed(std::string(connection.status().message()),
                  "The state folder or --coordinator is not usable as it is");
  }
  JoinRequest request;
  request.mutable_context()->set_protocol_version(facts->manifest->manifest.protocol_version());
  request.mutable_context()->set_run_id(facts->manifest->manifest.run_id());
  request.set_site(facts->identity->name);
  request.set_manifest_digest(ToBytes(facts->manifest->digest));
  request.set_software_version("weft-gate doctor");
  request.set_only_asking(true);
  JoinReply reply;
  const absl::Time sent = absl::Now();
  const absl::Status status =
      (*connection)->egress->Join(request, absl::Seconds(options.check_seconds / 2), &reply);
  if (!status.ok()) return Failed(std::string(status.message()), "See the checks above");
  facts->clock = MeasureClock(sent, absl::Now(), reply.server_unix_ms());
  facts->answer = reply;
  if (reply.refusal().code() != Refusal::NONE) {
    return Failed(RefusalWords(reply.refusal()), AdviceFor(reply.refusal().code()));
  }
  facts->connection = *connection;
  const RoundEvent& now = reply.now();
  if (now.context().base_version() == 0 &&
      absl::BytesToHexString(now.base_digest()) != facts->manifest->manifest.initial_consensus()) {
    return Failed("the coordinator's version 0 is not the initial consensus of the manifest",
                  "Ask the run's operator");
  }
  return Ok(absl::StrCat("may join as ", facts->identity->name, "; the run is ",
                         RoundEvent::Phase_Name(now.phase()), ", round ", now.round(), " of ",
                         now.round_count(), ", consensus ", now.context().base_version()));
}

Finding CheckClock(const DoctorOptions&, DoctorFacts* facts) {
  if (!facts->answer.has_value()) return Skipped("needs an answer of the coordinator");
  if (facts->answer->server_unix_ms() == 0) {
    return Skipped("this coordinator does not tell its time");
  }
  const absl::Duration off = absl::AbsDuration(facts->clock.ahead), error = facts->clock.error;
  const bool behind = facts->clock.ahead > absl::ZeroDuration();
  const std::string words =
      absl::StrFormat("%.3f s %s the coordinator's, give or take %.3f", absl::ToDoubleSeconds(off),
                      behind ? "behind" : "ahead of", absl::ToDoubleSeconds(error));
  const char* advice =
      "Set both clocks by NTP: certificates and deadlines of rounds are read against them";
  if (off - error > kClockMax) return Failed(words, advice);
  if (off - error > kClockWarning) return Warning(words, advice);
  return Ok(words);
}

Finding CheckBandwidth(const DoctorOptions& options, DoctorFacts* facts) {
  if (facts->connection == nullptr) return Skipped("needs membership");
  const RoundEvent& now = facts->answer->now();
  PullRequest request;
  *request.mutable_context() = facts->answer->context();
  request.set_blob_digest(now.base_digest());
  const uint64_t chunks = std::min<uint64_t>(kProbeChunks, ChunkCount(now.base_bytes()));
  for (uint64_t i = 0; i < chunks; ++i) request.add_chunks(static_cast<uint32_t>(i));
  uint64_t bytes = 0;
  Refusal refusal;
  const absl::Time began = absl::Now();
  const absl::Status status = facts->connection->egress->Pull(
      request, absl::Seconds(options.check_seconds * 0.9), [&](const BlobChunk& chunk) {
        if (chunk.has_refusal()) refusal = chunk.refusal();
        if (!chunk.has_refusal() && ToBytes(Sha256(chunk.data())) != chunk.sha256()) {
          return absl::DataLossError(absl::StrCat("chunk ", chunk.number(), " came damaged"));
        }
        bytes += chunk.data().size();
        return absl::OkStatus();
      });
  const double seconds = absl::ToDoubleSeconds(absl::Now() - began);
  if (refusal.code() != Refusal::NONE) {
    return Failed(RefusalWords(refusal), "Ask the run's operator");
  }
  if (!status.ok()) {
    return Failed(absl::StrFormat("%d bytes in %.1f s, then: %s", bytes, seconds,
                                  std::string(status.message())),
                  "Is the line slower than that, or cut? --check-seconds gives it longer");
  }
  const double rate = static_cast<double>(bytes) / std::max(seconds, 1e-6);
  return Ok(absl::StrFormat(
      "%d bytes of the consensus in %.2f s: %.1f MB/s; the whole of it takes about %.0f s", bytes,
      seconds, rate / 1e6, static_cast<double>(now.base_bytes()) / std::max(rate, 1.0)));
}

}  // namespace weft
