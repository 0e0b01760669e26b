#include "tests/testing/in_process_site.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/durable_file.h"
#include "proto/round_schedule.h"

namespace weft::testing {
namespace {

std::string Words(const absl::Status& status) { return std::string(status.message()); }

GateState FirstState(const FederationOptions& options, size_t number) {
  GateState state;
  state.set_version(1);
  state.set_run_id(options.manifest.run_id());
  state.set_site(options.sites[number].name);
  return state;
}

}  // namespace

absl::StatusOr<std::unique_ptr<InProcessSite>> InProcessSite::Create(const SiteSurroundings& shared,
                                                                     size_t number,
                                                                     LocalSolver* solver,
                                                                     Identity identity,
                                                                     const std::string& folder) {
  absl::StatusOr<BlobDirectory> site_blobs = BlobDirectory::Open(folder + "/blobs");
  if (!site_blobs.ok()) return site_blobs.status();
  absl::StatusOr<BlobDirectory> own_blobs = BlobDirectory::Open(folder + "/own");
  if (!own_blobs.ok()) return own_blobs.status();
  if (absl::Status status = MakeDirectories(folder + "/statements"); !status.ok()) return status;
  return std::unique_ptr<InProcessSite>(
      new InProcessSite(shared, number, solver, std::move(identity), folder, *std::move(site_blobs),
                        *std::move(own_blobs)));
}

InProcessSite::InProcessSite(const SiteSurroundings& shared, size_t number, LocalSolver* solver,
                             Identity identity, std::string folder, BlobDirectory site_blobs,
                             BlobDirectory own_blobs)
    : shared_(shared),
      number_(number),
      solver_(solver),
      identity_(std::move(identity)),
      folder_(std::move(folder)),
      site_blobs_(std::move(site_blobs)),
      own_blobs_(std::move(own_blobs)),
      machine_(FirstState(*shared.options, number), site::SiteLimits{}) {
  totals_.name = shared.options->sites[number].name;
}

InProcessSite::~InProcessSite() {
  if (work_.valid()) work_.wait();
}

void InProcessSite::Fail(absl::Status status) {
  if (!failure_.ok()) return;
  failure_ = absl::Status(status.code(), absl::StrCat(totals_.name, ": ", status.message()));
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

absl::Status InProcessSite::CopyBase(const Digest& digest) {
  absl::StatusOr<std::string> blob =
      ReadWholeFile(shared_.coordinator->vectors().PathOf(digest), uint64_t{1} << 33);
  if (!blob.ok()) return blob.status();
  // The initial consensus is part of every run, whatever its encodings: it is not counted.
  if (!machine_.state().held_digest().empty()) totals_.bytes_down += blob->size();
  absl::StatusOr<Digest> written = site_blobs_.Put(*blob);
  if (!written.ok()) return written.status();
  if (*written != digest) return absl::DataLossError("the base is not what it was called");
  return absl::OkStatus();
}

// new = base + delta, as base_fetch.cc does it.
absl::Status InProcessSite::ApplyDelta(const RoundEvent& round) {
  const absl::StatusOr<Digest> delta = DigestFromBytes(round.delta_digest());
  if (!delta.ok()) return delta.status();
  const absl::StatusOr<Digest> held = DigestFromBytes(round.delta_base_digest());
  if (!held.ok()) return held.status();
  const Digest layout = shared_.options->layout.digest();
  absl::StatusOr<ParameterVector> z = ReadParameters(site_blobs_.PathOf(*held), layout);
  if (!z.ok()) return z.status();
  absl::StatusOr<VectorReader> reader =
      VectorReader::Open(shared_.coordinator->vectors().PathOf(*delta));
  if (!reader.ok()) return reader.status();
  totals_.bytes_down += round.delta_bytes();
  if (absl::Status status = reader->Read(0, z->span(), z->span()); !status.ok()) return status;
  const VectorHeader header{.element_count = z->size(), .layout = layout};
  const absl::StatusOr<Digest> written = WriteVector(site_blobs_, header, z->span(), {});
  if (!written.ok()) return written.status();
  if (ToBytes(*written) != round.base_digest()) {
    return absl::DataLossError("the consensus by its change is not the consensus");
  }
  return absl::OkStatus();
}

InProcessSite::Came InProcessSite::Do(const site::FetchBase& effect) {
  const absl::StatusOr<Digest> digest = DigestFromBytes(effect.round.base_digest());
  absl::Status status = digest.status();
  if (digest.ok() && !site_blobs_.Has(*digest)) {
    status = effect.delta ? ApplyDelta(effect.round) : CopyBase(*digest);
  }
  if (!status.ok()) return site::OperationFailed{site::Operation::kPull, Words(status)};
  return site::BaseFetched{ToHex(*digest)};
}

RoundOrder InProcessSite::OrderOf(const RoundEvent& round) const {
  const RunManifest& manifest = shared_.options->manifest;
  RoundOrder order;
  order.set_protocol_version(manifest.protocol_version());
  order.set_run_id(manifest.run_id());
  order.set_coordinator_epoch(round.context().coordinator_epoch());
  order.set_round(site::WorkOf(round));
  order.set_base_version(round.context().base_version());
  order.set_fragment(round.context().fragment());
  order.set_base_digest(absl::BytesToHexString(round.base_digest()));
  order.set_inner_steps(round.inner_steps());
  order.set_first_step(round.first_step());
  order.set_seed(manifest.seed());
  order.set_site(totals_.name);
  *order.mutable_model() = manifest.model();
  *order.mutable_training() = manifest.training();
  *order.mutable_consensus() = manifest.consensus();
  order.set_tokenizer_sha256(manifest.tokenizer_sha256());
  order.set_total_steps(TotalSteps(manifest));
  return order;
}

InProcessSite::Came InProcessSite::Do(const site::WriteOrder& effect) {
  // In a turn of its own: the effects that come with this one clean up what the solver would use.
  shared_.scheduler->After(0, [this, round = effect.round] { BeginOrder(round); });
  return std::nullopt;
}

// How long the order takes is known as it begins, so the steps that a cut leaves are known as well.
void InProcessSite::BeginOrder(const RoundEvent& round) {
  RoundOrder order = OrderOf(round);
  const uint64_t ticket = ++ticket_;
  if (work_.valid()) work_.wait();
  work_ = {};
  double seconds =
      shared_.options->seconds ? shared_.options->seconds(number_, order) : order.inner_steps();
  if (!std::isfinite(seconds)) return;
  const int64_t now_ms = shared_.scheduler->now_ms();
  const int64_t cut_ms = round.cut_unix_ms() - kStartUnixMs;
  if (round.cut_unix_ms() > 0 && now_ms + 1000 * seconds > static_cast<double>(cut_ms)) {
    const double step_ms = 1000 * seconds / order.inner_steps();
    const auto done = static_cast<uint32_t>(std::max(0.0, (cut_ms - now_ms) / step_ms));
    order.set_steps_enough(std::clamp(done, round.inner_steps_min(), order.inner_steps()));
    seconds = order.steps_enough() * step_ms / 1000;
  }
  work_ = shared_.threads->Do([this, order] { return DoOrder(order); });
  shared_.scheduler->After(static_cast<int64_t>(std::ceil(1000 * seconds)),
                           [this, order, ticket] { FinishOrder(order, ticket); });
}

absl::StatusOr<OrderVectors> InProcessSite::ReadVectors(const RoundOrder& order) const {
  const absl::StatusOr<Digest> digest = DigestFromHex(order.base_digest());
  if (!digest.ok()) return digest.status();
  absl::StatusOr<ParameterVector> base =
      ReadParameters(site_blobs_.PathOf(*digest), shared_.options->layout.digest());
  if (!base.ok()) return base.status();
  OrderVectors vectors;
  vectors.base = *std::move(base);
  return vectors;
}

absl::StatusOr<InProcessSite::Done> InProcessSite::DoOrder(const RoundOrder& order) {
  absl::StatusOr<OrderVectors> vectors = ReadVectors(order);
  if (!vectors.ok()) return vectors.status();
  absl::StatusOr<Solution> solution = solver_->Solve(order, *std::move(vectors));
  if (!solution.ok()) return solution.status();
  const VectorHeader header{.element_count = solution->vector.size(),
                            .layout = shared_.options->layout.digest()};
  const absl::StatusOr<Digest> written =
      WriteVector(site_blobs_, header, solution->vector.span(), {});
  if (!written.ok()) return written.status();
  return Done{*std::move(solution), *written};
}

void InProcessSite::FinishOrder(const RoundOrder& order, uint64_t ticket) {
  if (ticket != ticket_ || finished_) return;
  absl::StatusOr<Done> done = work_.get();
  if (!done.ok()) return Fail(done.status());
  RoundResult result;
  result.set_protocol_version(order.protocol_version());
  result.set_run_id(order.run_id());
  result.set_round(order.round());
  result.set_base_digest(order.base_digest());
  result.set_vector_digest(ToHex(done->vector));
  result.set_inner_steps(done->solution.inner_steps);
  result.set_token_count(done->solution.token_count);
  result.set_first_loss(done->solution.first_loss);
  result.set_last_loss(done->solution.last_loss);
  result.set_seconds_training(done->solution.seconds);
  totals_.vector = std::move(done->solution.vector);
  totals_.inner_steps += result.inner_steps();
  totals_.token_count += result.token_count();
  totals_.last_loss = result.last_loss();
  Feed(site::ResultSeen{std::move(result)});
}

ContributionContext InProcessSite::Contributing() const {
  const absl::StatusOr<Encoding> up = EncodingFromName(shared_.options->manifest.encodings().up());
  return {&identity_,
          context_,
          up.value_or(Encoding::kParametersFp32),
          shared_.options->layout.digest(),
          &site_blobs_,
          &own_blobs_,
          folder_ + "/statements"};
}

InProcessSite::Came InProcessSite::Do(const site::FormContribution& effect) {
  absl::StatusOr<FormedContribution> formed =
      FormContribution(Contributing(), effect.round, effect.result);
  if (!formed.ok()) {
    Fail(formed.status());
    return std::nullopt;
  }
  formed_ = *std::move(formed);
  return site::ContributionFormed{ToHex(formed_.blob), formed_.blob_bytes};
}

InProcessSite::Came InProcessSite::Do(const site::PushContribution&) {
  const absl::StatusOr<PushReply> reply = shared_.coordinator->Push(
      totals_.name, formed_.signed_statement, own_blobs_.PathOf(formed_.blob));
  if (!reply.ok()) return site::OperationFailed{site::Operation::kPush, Words(reply.status())};
  if (reply->has_refusal()) return site::Refused{site::Operation::kPush, reply->refusal()};
  totals_.bytes_up += formed_.blob_bytes;
  return site::ContributionStored{absl::BytesToHexString(reply->receipt_digest())};
}

InProcessSite::Came InProcessSite::Do(const site::SendReport& effect) {
  RoundReport report;
  *report.mutable_context() = context_;
  report.set_round(effect.round.round());
  report.set_first_loss(effect.result.first_loss());
  report.set_last_loss(effect.result.last_loss());
  report.set_seconds_training(effect.result.seconds_training());
  report.set_inner_steps_done(effect.result.inner_steps());
  const ReportReply reply = shared_.coordinator->Report(totals_.name, report);
  if (reply.has_refusal()) return site::Refused{site::Operation::kReport, reply.refusal()};
  return site::Reported{};
}

InProcessSite::Came InProcessSite::Do(const site::CleanUp& effect) {
  for (const Digest& digest : site_blobs_.List()) {
    const bool keep =
        std::find(effect.keep.begin(), effect.keep.end(), ToHex(digest)) != effect.keep.end();
    if (keep) continue;
    if (absl::Status status = site_blobs_.Remove(digest); !status.ok()) Fail(status);
  }
  absl::Status status = RemoveContributions(Contributing(), effect.round);
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
