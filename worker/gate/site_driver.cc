#include "worker/gate/site_driver.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ops/log.h"
#include "proto/check.h"
#include "proto/crash_point.h"
#include "proto/round_schedule.h"
#include "proto/text_file.h"
#include "worker/core/site_messages.h"

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
      machine_(std::move(state), options_.limits, site::SchemeOf(parts_.accepted->manifest)),
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
  request.mutable_context()->set_fragment_count(
      FragmentCount(parts_.accepted->manifest.consensus()));
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

SiteDriver::Came SiteDriver::Do(const site::SendReport& effect) {
  absl::StatusOr<ReportReply> reply =
      parts_.client->Report(site::MakeReport(effect.round, effect.result));
  if (!reply.ok()) return site::OperationFailed{site::Operation::kReport, Words(reply.status())};
  if (reply->refusal().code() != Refusal::NONE)
    return site::Refused{site::Operation::kReport, reply->refusal()};
  return site::Reported{};
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

SiteDriver::Came SiteDriver::Do(const site::Note& effect) {
  LogInfo(effect.words);
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
