// The effects of the simulated gate, as worker/gate/site_driver.cc, base_fetch.cc and
// contribution.cc perform them.
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/simulation/simulated_gate.h"

namespace weft::simulation {
namespace {

constexpr int64_t kLeavePatienceMs = 5000;

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }
std::string OwnFile(const std::string& digest) { return "own/" + digest; }
// A statement's file: a digest in the place of the signature, then what is signed.
std::string Signed(const std::string& file) {
  return file.size() < sizeof(Digest) ? "" : file.substr(sizeof(Digest));
}
std::string StatementFile(uint64_t round) { return absl::StrCat("statement/", round); }

}  // namespace

bool SimulatedGate::Write(const std::string& file, std::string bytes) {
  if (disk_.Write({{file, std::move(bytes)}}, Sync::kYes).ok) return true;
  EndWith("disk: a file cannot be written", false);
  return false;
}

bool SimulatedGate::HoldsWhole(const std::string& file, const std::string& digest) const {
  const std::string* bytes = disk_.Read(file);
  return bytes != nullptr && Hex(DigestOf(*bytes)) == digest;
}

SimulatedGate::Came SimulatedGate::Do(const site::JoinRun&) {
  CloseWatch();
  JoinRequest request;
  MessageContext* context = request.mutable_context();
  context->set_protocol_version(world_->scenario.manifest.protocol_version());
  context->set_run_id(world_->scenario.manifest.run_id());
  context->set_coordinator_epoch(machine_->state().coordinator_epoch());
  context->set_fragment_count(1);
  request.set_site(name_);
  StartCall(request, [this](const Answer& answer) -> Came {
    const JoinReply& reply = std::get<JoinReply>(answer);
    if (reply.has_refusal()) return site::Refused{site::Operation::kJoin, reply.refusal()};
    context_ = reply.context();
    joined_ = true;
    return site::Joined{reply.context(), reply.now()};
  });
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::FetchBase& effect) {
  const std::string wanted = Hex(effect.round.base_digest());
  if (HoldsWhole(BaseFile(wanted), wanted)) return site::BaseFetched{wanted, ""};
  if (!effect.delta) {
    PullWhole(effect.round);
    return std::nullopt;
  }
  PullRequest request;
  *request.mutable_context() = context_;
  request.set_blob_digest(effect.round.delta_digest());
  StartCall(request, [this, round = effect.round](const Answer& answer) {
    return UseDelta(round, std::get<PullAnswer>(answer));
  });
  return std::nullopt;
}

void SimulatedGate::PullWhole(const RoundEvent& round) {
  PullRequest request;
  *request.mutable_context() = context_;
  request.set_blob_digest(round.base_digest());
  StartCall(request, [this, round](const Answer& answer) {
    return UseWhole(round, std::get<PullAnswer>(answer));
  });
}

SimulatedGate::Came SimulatedGate::UseDelta(const RoundEvent& round, const PullAnswer& answer) {
  const std::string wanted = Hex(round.base_digest());
  const std::string* held = disk_.Read(BaseFile(Hex(round.delta_base_digest())));
  const uint64_t elements = world_->scenario.elements;
  if (answer.refusal.code() == Refusal::NONE && held != nullptr) {
    const auto z = DecodeBlob(Encoding::kParametersFp32, *held, elements, {}, "");
    const auto x = z.ok() ? DecodeBlob(world_->scenario.down, answer.blob, elements, *z,
                                       round.delta_base_digest())
                          : z;
    if (x.ok()) {
      const std::string blob = *EncodeBlob(Encoding::kParametersFp32, *x, {}, "");
      if (Hex(DigestOf(blob)) == wanted || !world_->mutation.verifies_base) {
        if (!Write(BaseFile(wanted), blob)) return std::nullopt;
        return site::BaseFetched{wanted, ""};
      }
    }
  }
  PullWhole(round);
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::UseWhole(const RoundEvent& round, const PullAnswer& answer) {
  if (answer.refusal.code() != Refusal::NONE) {
    return site::Refused{site::Operation::kPull, answer.refusal};
  }
  const std::string wanted = Hex(round.base_digest());
  if (Hex(DigestOf(answer.blob)) != wanted) {
    return site::OperationFailed{site::Operation::kPull, "the blob is not what it was called"};
  }
  if (!Write(BaseFile(wanted), answer.blob)) return std::nullopt;
  return site::BaseFetched{wanted, ""};
}

void SimulatedGate::WriteOrder(const RoundEvent& round, uint32_t steps_enough) {
  RoundOrder order;
  order.set_run_id(round.context().run_id());
  order.set_coordinator_epoch(round.context().coordinator_epoch());
  order.set_round(site::WorkOf(round));
  order.set_base_version(round.context().base_version());
  order.set_base_digest(Hex(round.base_digest()));
  order.set_inner_steps(round.inner_steps());
  order.set_steps_enough(steps_enough);
  if (Write(kOrderFile, order.SerializeAsString())) worker_.OrderWritten();
}

// No scenario has duals.
SimulatedGate::Came SimulatedGate::Do(const site::PrepareDual& effect) {
  return site::DualReady{Hex(effect.round.base_digest()), effect.dual, ""};
}

SimulatedGate::Came SimulatedGate::Do(const site::WriteOrder& effect) {
  WriteOrder(effect.round, 0);
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::CutOrder& effect) {
  WriteOrder(effect.round, effect.round.inner_steps_min());
  return std::nullopt;
}

void SimulatedGate::LookForResult() {
  const GateState& state = machine_->state();
  if (state.stage() != GateState::TRAINING) return;
  const std::string* bytes = disk_.Read(kResultFile);
  if (bytes == nullptr) return;
  RoundResult result;
  if (!result.ParseFromString(*bytes)) return Feed(site::ResultUnusable{"it cannot be read"});
  if (result.round() != site::WorkOf(state.round())) return;
  worker_.ForgiveDeaths();
  Feed(site::ResultSeen{std::move(result)});
}

SimulatedGate::Came SimulatedGate::Do(const site::FormContribution& effect) {
  const std::string& digest = effect.result.vector_digest();
  const std::string vector_file = SiteVectorFile(digest);
  const std::string base = Hex(effect.round.base_digest());
  if (!HoldsWhole(vector_file, digest) || !HoldsWhole(BaseFile(base), base)) {
    return site::ResultUnusable{"the vector or its base is missing or damaged"};
  }
  const uint64_t elements = world_->scenario.elements;
  const auto x = DecodeBlob(Encoding::kParametersFp32, *disk_.Read(vector_file), elements, {}, "");
  const auto z =
      DecodeBlob(Encoding::kParametersFp32, *disk_.Read(BaseFile(base)), elements, {}, "");
  const auto blob = EncodeBlob(world_->scenario.up, *x, *z, effect.round.base_digest());
  if (!blob.ok()) return site::ResultUnusable{std::string(blob.status().message())};
  Contribution statement;
  *statement.mutable_context() = context_;
  statement.mutable_context()->clear_session_id();
  statement.mutable_context()->set_base_version(effect.round.context().base_version());
  statement.set_site(name_);
  statement.set_round(effect.round.round());
  statement.set_base_digest(effect.round.base_digest());
  statement.set_layout_digest(ToBytes(Layout()));
  statement.set_encoding(std::string(EncodingName(world_->scenario.up)));
  statement.set_blob_digest(DigestOf(*blob));
  statement.set_blob_bytes(blob->size());
  statement.set_inner_steps(effect.result.inner_steps());
  statement.set_token_count(effect.result.token_count());
  const std::string own = Hex(statement.blob_digest());
  if (!Write(OwnFile(own), *blob)) return std::nullopt;
  if (CrashesHere("between a contribution and its statement")) return std::nullopt;
  const std::string bytes = statement.SerializeAsString();
  if (!Write(StatementFile(effect.round.round()), DigestOf(bytes) + bytes)) return std::nullopt;
  return site::ContributionFormed{own, blob->size(), "", ""};
}

SimulatedGate::Came SimulatedGate::Do(const site::PushContribution& effect) {
  PushCall call{.context = context_, .signer = name_};
  const std::string* statement = disk_.Read(StatementFile(effect.round.round()));
  const std::string& own = machine_->state().contribution_blob();
  // A damaged statement is one whose signature does not fit.
  const bool whole = HoldsWhole(OwnFile(own), own) && statement != nullptr &&
                     DigestOf(Signed(*statement)) == statement->substr(0, sizeof(Digest));
  if (!whole) {
    Came came = Do(site::FormingOf(machine_->state()));
    if (!up() || (came.has_value() && std::holds_alternative<site::ResultUnusable>(*came))) {
      return came;
    }
    if (!HoldsWhole(OwnFile(own), own)) return site::ResultUnusable{"it has other bytes now"};
    statement = disk_.Read(StatementFile(effect.round.round()));
  }
  WEFT_CHECK(call.contribution.ParseFromString(Signed(*statement)));
  call.blob = *disk_.Read(OwnFile(own));
  GateState durable;
  const std::string* bytes = disk_.ReadDurable("gate_state");
  if (bytes != nullptr && !durable.ParseFromString(*bytes)) durable.Clear();
  world_->checkers.Sent(name_, call, &durable);
  StartCall(std::move(call), [](const Answer& answer) -> Came {
    const PushReply& reply = std::get<PushReply>(answer);
    if (reply.has_refusal()) return site::Refused{site::Operation::kPush, reply.refusal()};
    return site::ContributionStored{Hex(reply.receipt_digest())};
  });
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::DiscardResult& effect) {
  RoundResult result;
  const std::string* bytes = disk_.Read(kResultFile);
  if (bytes != nullptr && (!result.ParseFromString(*bytes) || result.round() == effect.work)) {
    disk_.RemoveFile(kResultFile);
    worker_.OrderWritten();  // it looks for work
  }
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::SendReport& effect) {
  ReportRequest request;
  *request.mutable_report()->mutable_context() = context_;
  request.mutable_report()->set_round(effect.round.round());
  StartCall(request, [](const Answer& answer) -> Came {
    const ReportReply& reply = std::get<ReportReply>(answer);
    if (reply.has_refusal()) return site::Refused{site::Operation::kReport, reply.refusal()};
    return site::Reported{};
  });
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::CleanUp& effect) {
  for (const std::string& file : disk_.List("base/")) {
    bool keep = false;
    for (const std::string& digest : effect.keep) keep = keep || file == BaseFile(digest);
    if (!keep) disk_.RemoveFile(file);
  }
  RoundResult result;
  const std::string* bytes = disk_.Read(kResultFile);
  const bool needed =
      bytes != nullptr && result.ParseFromString(*bytes) && result.round() >= effect.round;
  for (const std::string& file : disk_.List("vector/")) {
    if (!needed || file != SiteVectorFile(result.vector_digest())) disk_.RemoveFile(file);
  }
  for (const std::string& file : disk_.List("own/")) disk_.RemoveFile(file);
  // Every round that is sent has its own; those of this round are written after this.
  for (const std::string& file : disk_.List("statement/")) disk_.RemoveFile(file);
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::StopWorker&) {
  disk_.RemoveFile(kOrderFile);
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::LeaveRun& effect) {
  LeaveRequest request;
  *request.mutable_context() = context_;
  request.set_reason(effect.reason);
  StartCall(
      request, [](const Answer&) -> Came { return std::nullopt; }, kLeavePatienceMs);
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::Warn& effect) {
  world_->Trace(name_, "warns: ", effect.words);
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::Note& effect) {
  world_->Trace(name_, "notes: ", effect.words);
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::Finish&) {
  EndWith("finished", true);
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::Fail& effect) {
  EndWith(effect.reason, false);
  return std::nullopt;
}

}  // namespace weft::simulation
