// The doctor's checks that speak with the coordinator: a session like a gate's, through EgressGate
// and with entries in the site's ledger.
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

// Holds the state folder's lock, so that no gate of this site is cut off by the doctor's session.
class DoctorSession {
 public:
  static absl::StatusOr<std::shared_ptr<DoctorSession>> Open(const DoctorOptions& options,
                                                             const DoctorFacts& facts) {
    auto session = std::make_shared<DoctorSession>();
    const GateFolder folder(options.state);
    auto lock = folder.AcquireLock();
    if (!lock.ok()) return lock.status();
    session->lock = *std::move(lock);
    auto ledger = Ledger::Open(folder.ledger_path());
    if (!ledger.ok()) return ledger.status();
    session->ledger = *std::move(ledger);
    const RunManifest& manifest = facts.manifest->manifest;
    absl::StatusOr<Digest> layout = DigestFromHex(manifest.layout_digest());
    if (!layout.ok()) return layout.status();
    auto egress = EgressGate::Create(
        {options.coordinator, *facts.identity, manifest.run_id(), *layout}, session->ledger.get());
    if (!egress.ok()) return egress.status();
    session->egress = *std::move(egress);
    return session;
  }

  std::unique_ptr<GateFolder::Lock> lock;
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
  auto session = DoctorSession::Open(options, *facts);
  if (absl::IsFailedPrecondition(session.status())) {
    return Skipped(absl::StrCat("joining would end the session of a running gate: ",
                                session.status().message()));
  }
  if (!session.ok()) {
    return Failed(std::string(session.status().message()),
                  "The state folder or --coordinator is not usable as it is");
  }
  JoinRequest request;
  request.mutable_context()->set_protocol_version(facts->manifest->manifest.protocol_version());
  request.mutable_context()->set_run_id(facts->manifest->manifest.run_id());
  request.set_site(facts->identity->name);
  request.set_manifest_digest(ToBytes(facts->manifest->digest));
  request.set_software_version("weft-gate doctor");
  JoinReply reply;
  const absl::Time sent = absl::Now();
  const absl::Status status =
      (*session)->egress->Join(request, absl::Seconds(options.check_seconds / 2), &reply);
  const absl::Time answered = absl::Now();
  if (!status.ok()) return Failed(std::string(status.message()), "See the checks above");
  facts->clock_error = (answered - sent) / 2;
  if (reply.server_unix_ms() != 0) {
    facts->clock_ahead = sent + facts->clock_error - absl::FromUnixMillis(reply.server_unix_ms());
  }
  facts->joined = reply;
  if (reply.refusal().code() != Refusal::NONE) {
    return Failed(RefusalWords(reply.refusal()), AdviceFor(reply.refusal().code()));
  }
  facts->session = *session;
  const RoundEvent& now = reply.now();
  if (now.context().base_version() == 0 &&
      absl::BytesToHexString(now.base_digest()) != facts->manifest->manifest.initial_consensus()) {
    return Failed("the coordinator's version 0 is not the initial consensus of the manifest",
                  "Ask the run's operator");
  }
  return Ok(absl::StrCat("joined as ", facts->identity->name, "; the run is ",
                         RoundEvent::Phase_Name(now.phase()), ", round ", now.round(), " of ",
                         now.round_count(), ", consensus ", now.context().base_version()));
}

Finding CheckClock(const DoctorOptions&, DoctorFacts* facts) {
  if (!facts->joined.has_value()) return Skipped("needs an answer of the coordinator");
  if (facts->joined->server_unix_ms() == 0) {
    return Skipped("this coordinator does not tell its time");
  }
  const absl::Duration off =
      facts->clock_ahead < absl::ZeroDuration() ? -facts->clock_ahead : facts->clock_ahead;
  const std::string words =
      absl::StrFormat("%.3f s %s the coordinator's, give or take %.3f", absl::ToDoubleSeconds(off),
                      facts->clock_ahead < absl::ZeroDuration() ? "behind" : "ahead of",
                      absl::ToDoubleSeconds(facts->clock_error));
  const char* advice =
      "Set both clocks by NTP: certificates and deadlines of rounds are read against them";
  if (off - facts->clock_error > kClockMax) return Failed(words, advice);
  if (off - facts->clock_error > kClockWarning) return Warning(words, advice);
  return Ok(words);
}

Finding CheckBandwidth(const DoctorOptions& options, DoctorFacts* facts) {
  if (facts->session == nullptr) return Skipped("needs membership");
  const RoundEvent& now = facts->joined->now();
  PullRequest request;
  *request.mutable_context() = facts->joined->context();
  request.set_blob_digest(now.base_digest());
  const uint64_t chunks = std::min<uint64_t>(kProbeChunks, ChunkCount(now.base_bytes()));
  for (uint64_t i = 0; i < chunks; ++i) request.add_chunks(static_cast<uint32_t>(i));
  uint64_t bytes = 0;
  Refusal refusal;
  const absl::Time began = absl::Now();
  const absl::Status status = facts->session->egress->Pull(
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

Finding CheckLeave(const DoctorOptions& options, DoctorFacts* facts) {
  if (facts->session == nullptr) return Skipped("nothing was joined");
  LeaveRequest request;
  *request.mutable_context() = facts->joined->context();
  request.set_reason("weft-gate doctor is done");
  LeaveReply reply;
  const absl::Status status =
      facts->session->egress->Leave(request, absl::Seconds(options.check_seconds / 2), &reply);
  facts->session.reset();
  if (!status.ok() || reply.refusal().code() != Refusal::NONE) {
    return Warning(status.ok() ? RefusalWords(reply.refusal()) : std::string(status.message()),
                   "A gate that joins next replaces the doctor's session");
  }
  return Ok("left the run as it was");
}

}  // namespace weft
