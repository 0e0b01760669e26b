// The effects of the simulated gate, as worker/gate/site_driver.cc performs them. Bases are in
// gate_fetch.cc, contributions and what belongs to them in gate_vectors.cc.
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/simulation/simulated_gate.h"

namespace weft::simulation {
namespace {

constexpr int64_t kLeavePatienceMs = 5000;

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

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

void SimulatedGate::WriteOrder(const RoundEvent& round, uint32_t steps_enough) {
  RoundOrder order;
  order.set_run_id(round.context().run_id());
  order.set_coordinator_epoch(round.context().coordinator_epoch());
  order.set_round(site::WorkOf(round));
  order.set_base_version(round.context().base_version());
  order.set_fragment(round.context().fragment());
  order.set_base_digest(Hex(round.base_digest()));
  order.set_anchor_digest(machine_->state().anchor_digest());
  for (const FragmentVersion& part : round.fragments()) {
    order.add_fragment_digests(Hex(part.digest()));
  }
  order.set_inner_steps(round.inner_steps());
  order.set_steps_enough(steps_enough);
  if (Write(kOrderFile, order.SerializeAsString())) worker_.OrderWritten();
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
  std::vector<std::string> keep = effect.keep;
  keep.push_back(machine_->state().anchor_digest());
  for (const std::string& file : disk_.List("base/")) {
    bool stays = false;
    for (const std::string& digest : keep) stays = stays || file == BaseFile(digest);
    if (!stays) disk_.RemoveFile(file);
  }
  RoundResult result;
  const std::string* bytes = disk_.Read(kResultFile);
  const bool needed =
      bytes != nullptr && result.ParseFromString(*bytes) && result.round() >= effect.round;
  for (const std::string& file : disk_.List("vector/")) {
    if (!needed || file != SiteVectorFile(result.vector_digest())) disk_.RemoveFile(file);
  }
  RemoveOwn(effect.keep_own);
  return std::nullopt;
}

SimulatedGate::Came SimulatedGate::Do(const site::RecordFinal& effect) {
  world_->checkers.FinalRecorded(name_, effect.digest);
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
