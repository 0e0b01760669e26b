#include "worker/gate/site_driver.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ops/log.h"
#include "proto/check.h"
#include "proto/crash_point.h"
#include "proto/text_file.h"

namespace weft {
namespace {

constexpr char kSoftwareVersion[] = "weft 0.1";
constexpr absl::Duration kClockWorthSaying = absl::Seconds(2);

std::string Words(const absl::Status& status) { return std::string(status.message()); }
std::string ShortHex(const std::string& bytes) {
  return absl::BytesToHexString(bytes.substr(0, 4));
}

}  // namespace

SiteDriver::SiteDriver(SiteDriverParts parts, SiteDriverOptions options, GateState state,
                       const std::atomic<bool>* stop)
    : parts_(parts),
      options_(std::move(options)),
      machine_(std::move(state), options_.limits),
      stop_(stop) {
  const absl::StatusOr<Digest> layout = DigestFromHex(parts_.accepted->manifest.layout_digest());
  WEFT_CHECK(layout.ok());  // The manifest was checked when it was loaded.
  layout_ = *layout;
}

absl::Status SiteDriver::Run() {
  // The word of an earlier run in this folder.
  if (absl::Status status = parts_.site->ClearStop(); !status.ok()) return status;
  if (parts_.worker != nullptr) {
    if (absl::Status status = parts_.worker->Start(); !status.ok()) return status;
    absl::Status noted =
        parts_.ledger->AppendRecord("job-started", machine_.state().run_id(), 0, "weft-worker run");
    if (!noted.ok()) return noted;
  }
  Feed(site::Started{});
  while (!end_.has_value() && !stop_->load()) {
    // The coordinator's time, in which deadlines are: there is none before a join has measured it.
    if (joined_) Feed(site::TimeAdvanced{absl::ToUnixMillis(coordinator_boot_ + SinceBoot())});
    if (!end_.has_value()) ListenAndLook();
  }
  const bool finished = end_.has_value() && end_->ok();
  if (parts_.worker != nullptr)
    parts_.worker->End(finished ? options_.worker_grace : absl::ZeroDuration());
  if (end_.has_value() && !stop_->load()) return *end_;
  LogInfo("stopped; the same command goes on with the run");
  return absl::OkStatus();
}

void SiteDriver::ListenAndLook() {
  if (joined_) {
    absl::StatusOr<RoundEvent> event = parts_.client->NextEvent(options_.poll);
    if (event.ok()) {
      // While a blob travelled, events piled up: only the newest matters.
      absl::StatusOr<RoundEvent> newer = parts_.client->NextEvent(absl::ZeroDuration());
      for (; newer.ok(); newer = parts_.client->NextEvent(absl::ZeroDuration()))
        event = std::move(newer);
      LogPhase(*event);
      Feed(site::RoundChanged{*std::move(event)});
    } else if (absl::IsUnavailable(event.status())) {
      Feed(site::ConnectionLost{Words(event.status())});
    } else if (!absl::IsDeadlineExceeded(event.status())) {
      Feed(site::OperationFailed{site::Operation::kWatch, Words(event.status())});
    }
  }
  if (!end_.has_value()) LookForResult();
  if (!end_.has_value()) LookAtWorker();
}

void SiteDriver::LookForResult() {
  const GateState& state = machine_.state();
  if (state.stage() != GateState::TRAINING) return;
  absl::StatusOr<std::optional<RoundResult>> result =
      parts_.site->ResultOf(site::WorkOf(state.round()));
  if (!result.ok()) return Feed(site::ResultUnusable{Words(result.status())});
  if (!result->has_value()) return;
  if (parts_.worker != nullptr) parts_.worker->ForgiveDeaths();
  LogInfo("the worker has a result", {{"round", absl::StrCat(state.round().round())},
                                      {"loss", absl::StrCat((*result)->last_loss())},
                                      {"seconds", absl::StrCat((*result)->seconds_training())}});
  Feed(site::ResultSeen{**std::move(result)});
}

void SiteDriver::LookAtWorker() {
  if (std::optional<std::string> why = command_.Poll())
    LogWarning("the worker command failed", {{"how", *why}});
  if (parts_.worker == nullptr) return;
  if (std::optional<std::string> why = parts_.worker->Poll()) Feed(site::WorkerGone{*why});
}

void SiteDriver::Feed(site::SiteEvent first) {
  std::deque<site::SiteEvent> events{std::move(first)};
  while (!events.empty() && !end_.has_value()) {
    const std::vector<site::SiteEffect> effects = machine_.Step(events.front());
    events.pop_front();
    if (absl::Status status = Persist(); !status.ok()) return EndWith(status);
    for (const site::SiteEffect& effect : effects) {
      if (end_.has_value()) return;
      Came came = std::visit([this](const auto& e) { return Do(e); }, effect);
      CrashPoint("after an effect");
      // Interrupted by a signal: not a failure of the operation.
      if (stop_->load()) return;
      if (came.has_value()) events.push_back(*std::move(came));
    }
  }
}

absl::Status SiteDriver::Persist() {
  std::string now = machine_.state().SerializeAsString();
  if (now == persisted_) return absl::OkStatus();
  absl::Status status = WriteTextProto(parts_.folder->state_path(), machine_.state());
  if (status.ok()) persisted_ = std::move(now);
  return status;
}

void SiteDriver::EndWith(absl::Status status) { end_ = std::move(status); }

void SiteDriver::LogPhase(const RoundEvent& now) {
  std::string words = absl::StrCat(RoundEvent::Phase_Name(now.phase()), now.round(), now.reason());
  if (words == logged_phase_) return;
  logged_phase_ = std::move(words);
  LogInfo("the coordinator says", {{"phase", RoundEvent::Phase_Name(now.phase())},
                                   {"round", absl::StrCat(now.round(), "/", now.round_count())},
                                   {"base", ShortHex(now.base_digest())},
                                   {"reason", now.reason()}});
}

SiteDriver::Came SiteDriver::Do(const site::JoinRun&) {
  JoinRequest request;
  request.mutable_context()->set_protocol_version(parts_.accepted->manifest.protocol_version());
  request.mutable_context()->set_run_id(parts_.accepted->manifest.run_id());
  request.mutable_context()->set_coordinator_epoch(machine_.state().coordinator_epoch());
  request.mutable_context()->set_fragment_count(1);
  request.set_site(parts_.identity->name);
  request.set_manifest_digest(ToBytes(parts_.accepted->digest));
  request.set_software_version(kSoftwareVersion);
  absl::StatusOr<JoinReply> reply = parts_.client->Join(request);
  if (!reply.ok()) return site::OperationFailed{site::Operation::kJoin, Words(reply.status())};
  if (reply->refusal().code() != Refusal::NONE)
    return site::Refused{site::Operation::kJoin, reply->refusal()};
  parts_.client->SetContext(reply->context());
  joined_ = true;
  const absl::Duration off = parts_.client->clock().correction();
  coordinator_boot_ = absl::Now() + off - SinceBoot();
  if (absl::AbsDuration(off) > kClockWorthSaying) {
    LogWarning("this machine's clock is not the coordinator's: rounds go by the coordinator's",
               {{"seconds_behind", absl::StrCat(absl::ToDoubleSeconds(off))}});
  }
  LogInfo("joined", {{"run", reply->context().run_id()},
                     {"site", parts_.identity->name},
                     {"epoch", absl::StrCat(reply->context().coordinator_epoch())}});
  LogPhase(reply->now());
  return site::Joined{reply->context(), reply->now()};
}

SiteDriver::Came SiteDriver::Do(const site::FetchBase& effect) {
  const BaseFetch fetch{parts_.client, &parts_.site->blobs(), parts_.folder->partial_folder(),
                        layout_};
  const absl::Time began = absl::Now();
  absl::StatusOr<Refusal> refusal = FetchConsensus(fetch, effect.round, effect.delta);
  if (!refusal.ok()) return site::OperationFailed{site::Operation::kPull, Words(refusal.status())};
  if (refusal->code() != Refusal::NONE) return site::Refused{site::Operation::kPull, *refusal};
  LogInfo("consensus is here",
          {{"round", absl::StrCat(effect.round.round())},
           {"digest", ShortHex(effect.round.base_digest())},
           {"by", effect.delta ? "delta" : "whole"},
           {"seconds", absl::StrCat(absl::ToDoubleSeconds(absl::Now() - began))}});
  return site::BaseFetched{absl::BytesToHexString(effect.round.base_digest())};
}

RoundOrder SiteDriver::OrderOf(const RoundEvent& round) const {
  const RunManifest& manifest = parts_.accepted->manifest;
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
  order.set_site(parts_.identity->name);
  *order.mutable_model() = manifest.model();
  *order.mutable_training() = manifest.training();
  *order.mutable_consensus() = manifest.consensus();
  order.set_tokenizer_sha256(manifest.tokenizer_sha256());
  order.set_total_steps(uint64_t{manifest.rounds().round_count()} *
                        manifest.rounds().inner_steps());
  return order;
}

SiteDriver::Came SiteDriver::Do(const site::WriteOrder& effect) {
  if (absl::Status status = parts_.site->WriteOrder(OrderOf(effect.round)); !status.ok()) {
    EndWith(status);
    return std::nullopt;
  }
  LogInfo("order written", {{"round", absl::StrCat(effect.round.round())},
                            {"steps", absl::StrCat(effect.round.inner_steps())}});
  StartWorkerIfNeeded(effect.round);
  return std::nullopt;
}

void SiteDriver::StartWorkerIfNeeded(const RoundEvent& round) {
  if (options_.worker_command.empty() || command_round_ == round.round() || command_.running())
    return;
  // Free, and free again at once: nobody trains.
  if (!parts_.site->AcquireWorkerLock().ok()) return;
  command_round_ = round.round();
  absl::Status noted =
      parts_.ledger->AppendRecord("job-started", machine_.state().run_id(), round.round(),
                                  options_.worker_command.substr(0, 1000));
  if (!noted.ok()) return EndWith(noted);
  LogInfo("no worker holds the lock, asking for one", {{"command", options_.worker_command}});
  if (absl::Status status = command_.Run(options_.worker_command); !status.ok()) EndWith(status);
}

ContributionContext SiteDriver::Contributing() const {
  const absl::StatusOr<Encoding> up = EncodingFromName(parts_.accepted->manifest.encodings().up());
  WEFT_CHECK(up.ok());  // The manifest was checked when it was loaded.
  return {parts_.identity,  parts_.client->context(),         *up, layout_, &parts_.site->blobs(),
          parts_.own_blobs, parts_.folder->statement_folder()};
}

SiteDriver::Came SiteDriver::Do(const site::CutOrder& effect) {
  RoundOrder order = OrderOf(effect.round);
  order.set_steps_enough(effect.round.inner_steps_min());
  if (absl::Status status = parts_.site->WriteOrder(order); !status.ok()) {
    EndWith(status);
    return std::nullopt;
  }
  LogInfo("time is up: the worker stops when it has done enough",
          {{"round", absl::StrCat(effect.round.round())},
           {"enough", absl::StrCat(effect.round.inner_steps_min())},
           {"steps", absl::StrCat(effect.round.inner_steps())}});
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::FormContribution& effect) {
  absl::StatusOr<FormedContribution> formed =
      FormContribution(Contributing(), effect.round, effect.result);
  if (!formed.ok()) return site::ResultUnusable{Words(formed.status())};
  return site::ContributionFormed{ToHex(formed->blob), formed->blob_bytes};
}

SiteDriver::Came SiteDriver::Do(const site::PushContribution& effect) {
  absl::StatusOr<FormedContribution> formed = LoadContribution(Contributing(), effect.round);
  if (!formed.ok()) {
    LogWarning("the contribution on disk cannot be used, forming it again",
               {{"reason", Words(formed.status())}});
    formed = FormContribution(Contributing(), effect.round, machine_.state().result());
  }
  if (!formed.ok()) return site::ResultUnusable{Words(formed.status())};
  if (ToHex(formed->blob) != machine_.state().contribution_blob()) {
    return site::ResultUnusable{"formed again it has other bytes than before"};
  }
  absl::StatusOr<PushReply> reply =
      parts_.client->Push(*formed, parts_.own_blobs->PathOf(formed->blob));
  if (!reply.ok()) return site::OperationFailed{site::Operation::kPush, Words(reply.status())};
  if (reply->refusal().code() != Refusal::NONE)
    return site::Refused{site::Operation::kPush, reply->refusal()};
  LogInfo("contribution stored", {{"round", absl::StrCat(effect.round.round())},
                                  {"digest", ShortHex(reply->receipt_digest())},
                                  {"bytes", absl::StrCat(formed->blob_bytes)}});
  return site::ContributionStored{absl::BytesToHexString(reply->receipt_digest())};
}

SiteDriver::Came SiteDriver::Do(const site::DiscardResult& effect) {
  if (absl::Status status = parts_.site->RemoveResult(effect.work); !status.ok()) EndWith(status);
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::SendReport& effect) {
  RoundReport report;
  report.set_round(effect.round.round());
  report.set_first_loss(effect.result.first_loss());
  report.set_last_loss(effect.result.last_loss());
  report.set_seconds_training(effect.result.seconds_training());
  report.set_inner_steps_done(effect.result.inner_steps());
  absl::StatusOr<ReportReply> reply = parts_.client->Report(std::move(report));
  if (!reply.ok()) return site::OperationFailed{site::Operation::kReport, Words(reply.status())};
  if (reply->refusal().code() != Refusal::NONE)
    return site::Refused{site::Operation::kReport, reply->refusal()};
  return site::Reported{};
}

SiteDriver::Came SiteDriver::Do(const site::CleanUp& effect) {
  for (const absl::Status& status : {parts_.site->RemoveBefore(effect.round, effect.keep),
                                     RemoveContributions(Contributing(), effect.round)}) {
    if (!status.ok())
      LogWarning("cannot remove what rounds before have left", {{"reason", Words(status)}});
  }
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::RecordFinal& effect) {
  const std::string path = parts_.site->folder() + "/final.textproto";
  if (absl::Status status = WriteTextProto(path, OrderOf(effect.round)); !status.ok())
    EndWith(status);
  LogInfo("the final consensus is in the site directory",
          {{"file", absl::StrCat("blobs/", absl::BytesToHexString(effect.round.base_digest()))}});
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::StopWorker& effect) {
  if (absl::Status status = parts_.site->Stop(effect.reason); !status.ok()) EndWith(status);
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::LeaveRun& effect) {
  absl::StatusOr<LeaveReply> reply = parts_.client->Leave(effect.reason);
  if (!reply.ok()) LogWarning("could not say goodbye", {{"reason", Words(reply.status())}});
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::Warn& effect) {
  LogWarning(effect.words);
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::Finish&) {
  EndWith(absl::OkStatus());
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::Fail& effect) {
  EndWith(absl::FailedPreconditionError(effect.reason));
  return std::nullopt;
}

}  // namespace weft
