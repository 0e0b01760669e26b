#include "tests/testing/in_process_site.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/durable_file.h"
#include "worker/core/site_messages.h"

namespace weft::testing {
namespace {

std::string Words(const absl::Status& status) { return std::string(status.message()); }

std::string HexOrNone(const std::optional<Digest>& digest) {
  return digest ? ToHex(*digest) : std::string();
}
std::optional<Digest> DigestOrNone(const std::string& hex) {
  const absl::StatusOr<Digest> digest = DigestFromHex(hex);
  return digest.ok() ? std::optional(*digest) : std::nullopt;
}

GateState FirstState(const FederationOptions& options, size_t number) {
  GateState state;
  state.set_version(1);
  state.set_run_id(options.manifest.run_id());
  state.set_site(options.sites[number].name);
  return state;
}

// Removes all but those.
absl::Status Keep(const BlobDirectory& blobs, const std::vector<std::string>& keep) {
  for (const Digest& digest : blobs.List()) {
    if (std::find(keep.begin(), keep.end(), ToHex(digest)) != keep.end()) continue;
    if (absl::Status status = blobs.Remove(digest); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<InProcessSite>> InProcessSite::Create(const SiteSurroundings& shared,
                                                                     size_t number,
                                                                     const std::string& folder) {
  absl::StatusOr<BlobDirectory> site_blobs = BlobDirectory::Open(folder + "/blobs");
  if (!site_blobs.ok()) return site_blobs.status();
  absl::StatusOr<BlobDirectory> own_blobs = BlobDirectory::Open(folder + "/own");
  if (!own_blobs.ok()) return own_blobs.status();
  return std::unique_ptr<InProcessSite>(
      new InProcessSite(shared, number, *std::move(site_blobs), *std::move(own_blobs)));
}

InProcessSite::InProcessSite(const SiteSurroundings& shared, size_t number,
                             BlobDirectory site_blobs, BlobDirectory own_blobs)
    : shared_(shared),
      number_(number),
      solver_(shared.options->sites[number].solver.get()),
      site_blobs_(std::move(site_blobs)),
      own_blobs_(std::move(own_blobs)),
      machine_(FirstState(*shared.options, number), site::SiteLimits{},
               site::SchemeOf(shared.options->manifest)) {
  totals_.name = shared.options->sites[number].name;
}

InProcessSite::~InProcessSite() {
  if (work_.valid()) work_.wait();
}

void InProcessSite::Fail(absl::Status status) {
  if (!failure_.ok()) return;
  failure_ = absl::Status(status.code(), absl::StrCat(totals_.name, ": ", status.message()));
}

SiteVectors InProcessSite::Vectors() const {
  return {&site_blobs_, &own_blobs_, shared_.options->layout.digest()};
}

void InProcessSite::Start() { Feed(site::Started{}); }

void InProcessSite::Feed(site::SiteEvent first) {
  std::deque<site::SiteEvent> events{std::move(first)};
  while (!events.empty() && failure_.ok() && !finished_) {
    const std::vector<site::SiteEffect> effects = machine_.Step(events.front());
    events.pop_front();
    for (const site::SiteEffect& effect : effects) {
      if (!failure_.ok() || finished_) return;
      Came came = std::visit([this](const auto& e) { return Do(e); }, effect);
      if (came.has_value()) events.push_back(*std::move(came));
    }
  }
}

InProcessSite::Came InProcessSite::Do(const site::JoinRun&) {
  const JoinReply reply = shared_.coordinator->Join(totals_.name);
  if (reply.has_refusal()) return site::Refused{site::Operation::kJoin, reply.refusal()};
  context_ = reply.context();
  shared_.coordinator->OpenWatch(totals_.name,
                                 [this](const RoundEvent& now) { Feed(site::RoundChanged{now}); });
  return site::Joined{reply.context(), reply.now()};
}

// new = base + delta, as base_fetch.cc does it.
absl::Status InProcessSite::ApplyDelta(const Wanted& wanted) {
  const absl::StatusOr<Digest> delta = DigestFromBytes(wanted.delta_digest);
  if (!delta.ok()) return delta.status();
  const absl::StatusOr<Digest> base = DigestFromBytes(wanted.delta_base_digest);
  if (!base.ok()) return base.status();
  absl::StatusOr<VectorReader> held = VectorReader::Open(site_blobs_.PathOf(*base));
  if (!held.ok()) return held.status();
  absl::StatusOr<VectorReader> change =
      VectorReader::Open(shared_.coordinator->vectors().PathOf(*delta));
  if (!change.ok()) return change.status();
  std::vector<float> z(held->header().element_count);
  absl::Status status = held->Read(0, {}, absl::MakeSpan(z));
  if (status.ok()) status = change->Read(0, z, absl::MakeSpan(z));
  if (!status.ok()) return status;
  totals_.bytes_down += wanted.delta_bytes;
  const absl::StatusOr<Digest> written = WriteVector(site_blobs_, held->header(), z, {});
  if (!written.ok()) return written.status();
  if (ToBytes(*written) == wanted.digest) return absl::OkStatus();
  return absl::DataLossError("the consensus by its change is not the consensus");
}

absl::Status InProcessSite::Fetch(const Wanted& wanted, bool delta) {
  const absl::StatusOr<Digest> digest = DigestFromBytes(wanted.digest);
  if (!digest.ok()) return digest.status();
  if (site_blobs_.Has(*digest)) return absl::OkStatus();
  const std::optional<Digest> base = DigestOrNone(absl::BytesToHexString(wanted.delta_base_digest));
  if (delta && !wanted.delta_digest.empty() && base && site_blobs_.Has(*base)) {
    return ApplyDelta(wanted);
  }
  absl::StatusOr<std::string> blob =
      ReadWholeFile(shared_.coordinator->vectors().PathOf(*digest), uint64_t{1} << 33);
  if (!blob.ok()) return blob.status();
  // The initial consensus is part of every run, whatever its encodings: it is not counted.
  if (!machine_.state().held_digest().empty()) totals_.bytes_down += blob->size();
  return site_blobs_.Put(*blob).status();
}

InProcessSite::Came InProcessSite::Do(const site::FetchBase& effect) {
  const RoundEvent& round = effect.round;
  std::vector<Wanted> all;
  for (const FragmentVersion& part : round.fragments()) {
    all.push_back({part.digest(), part.delta_digest(), part.delta_base_digest(), part.bytes(),
                   part.delta_bytes()});
  }
  if (all.empty()) {
    all.push_back({round.base_digest(), round.delta_digest(), round.delta_base_digest(),
                   round.base_bytes(), round.delta_bytes()});
  }
  for (const Wanted& wanted : all) {
    const absl::Status status = Fetch(wanted, effect.delta);
    if (!status.ok()) return site::OperationFailed{site::Operation::kPull, Words(status)};
  }
  return site::BaseFetched{absl::BytesToHexString(round.base_digest()), ""};
}

// The initial consensus, until a contribution has counted: the coordinator's sum starts from it.
std::string InProcessSite::SentOrInitial() const {
  const std::string& sent = machine_.state().sent_digest();
  return sent.empty() ? manifest().initial_consensus() : sent;
}

absl::Status InProcessSite::HoldSent() {
  const std::optional<Digest> sent = DigestOrNone(SentOrInitial());
  if (sent && own_blobs_.Has(*sent)) return absl::OkStatus();
  if (!machine_.state().sent_digest().empty()) {
    return absl::DataLossError("what the coordinator has of this site is gone");
  }
  const VectorHeader header{.element_count = shared_.options->layout.element_count(),
                            .layout = shared_.options->layout.digest()};
  return WriteVector(own_blobs_, header, shared_.options->initial.span(), {}).status();
}

InProcessSite::Came InProcessSite::Do(const site::PrepareDual& effect) {
  DualStep step{.dual = DigestOrNone(effect.dual),
                .vector = DigestOrNone(effect.vector),
                .base = *DigestFromBytes(effect.round.base_digest()),
                .scale = effect.scale};
  absl::Status status = HoldSent();
  const auto keep = [&status](const absl::StatusOr<Digest>& made, std::optional<Digest>* place) {
    status = made.status();
    if (made.ok()) *place = *made;
  };
  if (status.ok() && (step.vector || (step.dual && step.scale != 1))) {
    keep(StepDual(Vectors(), step), &step.dual);
  }
  std::optional<Digest> anchor;
  if (status.ok() && step.dual) keep(WriteAnchor(Vectors(), step.base, *step.dual), &anchor);
  if (!status.ok()) {
    Fail(status);
    return std::nullopt;
  }
  return site::DualReady{ToHex(step.base), HexOrNone(step.dual), HexOrNone(anchor)};
}

InProcessSite::Came InProcessSite::Do(const site::FormContribution& effect) {
  const ConsensusScheme& scheme = manifest().consensus();
  const Encodings& encodings = manifest().encodings();
  const VectorFormat up = *FormatFromName(encodings.up(), encodings.topk_density());
  const ContributionParts parts{.encoding = up,
                                .vector = *DigestFromHex(effect.result.vector_digest()),
                                .base = *DigestFromBytes(effect.round.base_digest()),
                                .residual = DigestOrNone(effect.residual),
                                .residual_kept = ResidualKept(scheme, up),
                                .with_dual = scheme.dual(),
                                .dual = DigestOrNone(effect.dual),
                                .sent = scheme.dual() ? *DigestFromHex(SentOrInitial()) : Digest{}};
  const absl::StatusOr<EncodedContribution> encoded = EncodeContribution(Vectors(), parts);
  if (!encoded.ok()) {
    Fail(encoded.status());
    return std::nullopt;
  }
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(own_blobs_.PathOf(encoded->blob), error);
  contribution_.Clear();
  *contribution_.mutable_context() = context_;
  contribution_.mutable_context()->set_base_version(effect.round.context().base_version());
  contribution_.mutable_context()->set_fragment(effect.round.context().fragment());
  contribution_.mutable_context()->set_fragment_count(effect.round.context().fragment_count());
  contribution_.set_site(totals_.name);
  contribution_.set_round(effect.round.round());
  contribution_.set_base_digest(effect.round.base_digest());
  contribution_.set_layout_digest(ToBytes(shared_.options->layout.digest()));
  contribution_.set_encoding(encodings.up());
  contribution_.set_blob_digest(ToBytes(encoded->blob));
  contribution_.set_blob_bytes(bytes);
  contribution_.set_inner_steps(effect.result.inner_steps());
  contribution_.set_token_count(effect.result.token_count());
  if (scheme.influence().validation_samples() > 0) {
    contribution_.set_validation_before(effect.result.validation_before());
    contribution_.set_validation_after(effect.result.validation_after());
  }
  contribution_.set_primal_residual(encoded->primal_residual);
  return site::ContributionFormed{ToHex(encoded->blob), bytes, HexOrNone(encoded->residual),
                                  HexOrNone(encoded->sent), encoded->primal_residual};
}

InProcessSite::Came InProcessSite::Do(const site::PushContribution&) {
  const absl::StatusOr<PushReply> reply = shared_.coordinator->Push(
      contribution_, own_blobs_.PathOf(*DigestFromBytes(contribution_.blob_digest())));
  if (!reply.ok()) return site::OperationFailed{site::Operation::kPush, Words(reply.status())};
  if (reply->has_refusal()) return site::Refused{site::Operation::kPush, reply->refusal()};
  totals_.bytes_up += contribution_.blob_bytes();
  return site::ContributionStored{absl::BytesToHexString(reply->receipt_digest())};
}

InProcessSite::Came InProcessSite::Do(const site::SendReport& effect) {
  RoundReport report = site::MakeReport(effect.round, effect.result);
  *report.mutable_context() = context_;
  const ReportReply reply = shared_.coordinator->Report(totals_.name, report);
  if (reply.has_refusal()) return site::Refused{site::Operation::kReport, reply.refusal()};
  return site::Reported{};
}

InProcessSite::Came InProcessSite::Do(const site::CleanUp& effect) {
  std::vector<std::string> keep = effect.keep, own = effect.keep_own;
  keep.push_back(machine_.state().anchor_digest());
  if (manifest().consensus().dual()) own.push_back(SentOrInitial());
  absl::Status status = Keep(site_blobs_, keep);
  if (status.ok()) status = Keep(own_blobs_, own);
  if (!status.ok()) Fail(status);
  return std::nullopt;
}

InProcessSite::Came InProcessSite::Do(const site::StopWorker&) {
  ++ticket_;
  return std::nullopt;
}

InProcessSite::Came InProcessSite::Do(const site::LeaveRun& effect) {
  shared_.coordinator->Leave(totals_.name, effect.reason);
  return std::nullopt;
}

InProcessSite::Came InProcessSite::Do(const site::Finish&) {
  finished_ = true;
  return std::nullopt;
}

InProcessSite::Came InProcessSite::Do(const site::Fail& effect) {
  Fail(absl::FailedPreconditionError(effect.reason));
  return std::nullopt;
}

}  // namespace weft::testing
