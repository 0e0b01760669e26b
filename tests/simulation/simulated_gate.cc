// The driver's half: events, persistence, calls, the watch. The effects are in gate_effects.cc.
#include "tests/simulation/simulated_gate.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace weft::simulation {
namespace {

constexpr int64_t kPollMs = 600;
constexpr int64_t kSilenceMsMax = 20'000;
constexpr int64_t kFirstWaitMs = 2000;
constexpr int64_t kWaitMsMax = 20'000;
constexpr int kWorkerDeathsMax = 3;
constexpr char kStateFile[] = "gate_state";

}  // namespace

SimulatedGate::SimulatedGate(World* world, int site)
    : Process(world),
      number_(site),
      name_(SiteName(site)),
      disk_(&world->faults, Mix(world->scenario.seed ^ (0x517e + static_cast<uint64_t>(site)))),
      worker_(world, name_, &disk_) {}

void SimulatedGate::Start() {
  if (up() || out_ || finished_) return;
  Begin();
  GateState state;
  const std::string* bytes = disk_.Read(kStateFile);
  if (bytes != nullptr) {
    WEFT_CHECK(state.ParseFromString(*bytes));
    persisted_ = *bytes;
  } else {
    state.set_version(1);
    state.set_run_id(world_->scenario.manifest.run_id());
    state.set_site(name_);
  }
  if (world_->mutation.forgets_contribution && state.stage() >= GateState::FORMING) {
    state.set_stage(GateState::FETCHING);
    state.clear_contribution_base();
    state.clear_result();
    disk_.RemoveFile(kResultFile);
    worker_.Crash();
  }
  world_->Trace(name_, "gate starts at ", GateState::Stage_Name(state.stage()), " of round ",
                state.round().round());
  machine_ = std::make_unique<site::SiteMachine>(std::move(state), site::SiteLimits{},
                                                 site::SchemeOf(world_->scenario.manifest));
  events_.clear();
  effects_.clear();
  busy_ = joined_ = false;
  stream_ = 0;
  newest_.reset();
  worker_.ForgiveDeaths();
  worker_.Start();
  After(kPollMs, [this] { Poll(); });
  Feed(site::TimeAdvanced{world_->scheduler.now_ms() + clock_offset_ms_});
  if (up()) Feed(site::Started{});
}

void SimulatedGate::Crash(absl::string_view why) {
  if (!up()) return;
  world_->Trace(name_, "gate crashes: ", why);
  End();
  disk_.Crash();
  // Its connections end; the coordinator's system learns of it, sooner or later.
  if (stream_ != 0) {
    world_->scheduler.After(world_->random.Between(1, 10'000), [world = world_, stream = stream_] {
      world->coordinator->WatchEnded(stream);
    });
  }
  machine_.reset();
  world_->scheduler.After(world_->random.Between(500, 15'000), [this] { Start(); });
}

void SimulatedGate::Vanish() {
  out_ = true;
  Crash("for good");
  worker_.Crash();
}

bool SimulatedGate::CrashesHere(absl::string_view where) {
  if (!world_->faults.Happens(Fault::kCrashInStep)) return false;
  Crash(where);
  return true;
}

void SimulatedGate::EndWith(const std::string& reason, bool finished) {
  if (!up()) return;
  world_->checkers.GateEnded(name_, reason, finished);
  finished_ = finished;
  if (absl::StrContains(reason, "REVOKED") || absl::StrContains(reason, "NOT_A_MEMBER")) {
    out_ = true;
  }
  Crash(reason);
}

std::string SimulatedGate::Describe() const {
  if (finished_) return absl::StrCat(name_, " has finished");
  if (!up()) return absl::StrCat(name_, out_ ? " is out" : " is down");
  const GateState& state = machine_->state();
  return absl::StrCat(name_, " is ", GateState::Stage_Name(state.stage()), " round ",
                      state.round().round(), busy_ ? ", a call is under way" : "",
                      state.outcome().empty() ? "" : ", outcome: ", state.outcome());
}

void SimulatedGate::Feed(site::SiteEvent event) {
  events_.push_back(std::move(event));
  Pump();
}

void SimulatedGate::Pump() {
  while (up() && !busy_) {
    if (!effects_.empty()) {
      if (CrashesHere("before an effect")) return;
      const site::SiteEffect effect = std::move(effects_.front());
      effects_.pop_front();
      Came came = std::visit([this](const auto& e) { return Do(e); }, effect);
      if (came.has_value()) events_.push_back(*std::move(came));
      continue;
    }
    if (world_->mutation.gate_persists_late && !Persist()) return;
    if (events_.empty()) return;
    const site::SiteEvent event = std::move(events_.front());
    events_.pop_front();
    Tamper(event);
    const bool awaited = machine_->state().outcome_awaited();
    const std::vector<site::SiteEffect> effects = machine_->Step(event);
    if (awaited && std::holds_alternative<site::ResultSeen>(event)) {
      world_->checkers.feedback().Settled(name_, machine_->state());
    }
    effects_.assign(effects.begin(), effects.end());
    if (world_->mutation.gate_persists_late) continue;
    if (!Persist()) return;
  }
}

void SimulatedGate::Tamper(const site::SiteEvent& event) {
  if (world_->mutation.name.empty()) return;
  GateState changed = machine_->state();
  if (!world_->mutation.tamper_gate(event, &changed)) return;
  machine_ = std::make_unique<site::SiteMachine>(std::move(changed), site::SiteLimits{},
                                                 site::SchemeOf(world_->scenario.manifest));
}

bool SimulatedGate::Persist() {
  std::string bytes = machine_->state().SerializeAsString();
  if (bytes == persisted_) return true;
  if (CrashesHere("before its state is written")) return false;
  const SimulatedDisk::Written written = disk_.Write({{kStateFile, bytes}}, Sync::kYes);
  if (written.durable) world_->checkers.GateCommitted(name_, machine_->state());
  if (!written.ok) {
    EndWith("disk: the state cannot be written", false);
    return false;
  }
  persisted_ = std::move(bytes);
  world_->Trace(name_, "gate at ", GateState::Stage_Name(machine_->state().stage()), " of round ",
                machine_->state().round().round(), " ", machine_->state().outcome());
  return true;
}

void SimulatedGate::Poll() {
  After(kPollMs, [this] { Poll(); });
  if (busy_) return;
  Feed(site::TimeAdvanced{world_->scheduler.now_ms() + clock_offset_ms_});
  if (up() && !busy_) Listen();
  if (up() && !busy_) LookForResult();
  if (up() && !busy_ && worker_.deaths() >= kWorkerDeathsMax) {
    Feed(site::WorkerGone{"it died again and again"});
  }
}

void SimulatedGate::Listen() {
  if (!joined_) return;
  if (newest_.has_value()) {
    RoundEvent event = *std::move(newest_);
    newest_.reset();
    return Feed(site::RoundChanged{std::move(event)});
  }
  const int64_t now = world_->scheduler.now_ms();
  if (stream_ != 0 && now - heard_ms_ > kSilenceMsMax) {
    CloseWatch();
    Feed(site::ConnectionLost{"no heartbeat"});
  }
  if (up() && stream_ == 0 && now >= next_watch_ms_) OpenWatch();
}

// What it still had to say is not heard; the other end may think for a while that we listen.
void SimulatedGate::CloseWatch() {
  newest_.reset();
  if (stream_ == 0) return;
  world_->scheduler.After(world_->random.Between(1, 20'000), [world = world_, stream = stream_] {
    world->network.Close(stream);
    world->coordinator->WatchEnded(stream);
  });
  stream_ = 0;
}

void SimulatedGate::OpenWatch() {
  stream_ = world_->next_stream++;
  heard_ms_ = world_->scheduler.now_ms();
  next_watch_ms_ = heard_ms_ + world_->random.Between(100, 5000);
  world_->network.Send(number_,
                       [world = world_, site = number_, context = context_, stream = stream_] {
                         world->coordinator->OpenWatch(site, context, stream);
                       });
}

void SimulatedGate::ReceiveEvent(uint64_t stream, const RoundEvent& event) {
  if (!up() || stream != stream_) return;
  heard_ms_ = world_->scheduler.now_ms();
  newest_ = event;
  // The stream ends with a refusal.
  if (event.has_refusal()) stream_ = 0;
  if (!busy_) Listen();
}

void SimulatedGate::ConnectionReset() {
  if (!up() || stream_ == 0) return;
  stream_ = 0;
  if (!busy_) Feed(site::ConnectionLost{"the connection was reset"});
}

void SimulatedGate::StartCall(Call call, Then then, int64_t give_up_ms) {
  busy_ = true;
  then_ = std::move(then);
  const uint64_t id = ++call_id_;
  Attempt(std::make_shared<const Call>(std::move(call)), id, kFirstWaitMs);
  if (give_up_ms == 0) return;
  After(give_up_ms, [this, id] {
    if (!busy_ || id != call_id_) return;
    busy_ = false;
    Pump();
  });
}

void SimulatedGate::Attempt(SharedCall call, uint64_t id, int64_t wait_ms) {
  if (!busy_ || id != call_id_) return;
  const auto respond = [this, id, at = life()](Answer answer) {
    const auto shared = std::make_shared<const Answer>(std::move(answer));
    world_->network.Send(number_, [this, id, at, shared] {
      if (at == life()) Answered(id, *shared);
    });
  };
  world_->network.Send(number_, [world = world_, site = number_, call, respond] {
    world->coordinator->Receive(site, *call, respond);
  });
  After(wait_ms,
        [this, call, id, wait_ms] { Attempt(call, id, std::min(2 * wait_ms, kWaitMsMax)); });
}

void SimulatedGate::Answered(uint64_t id, const Answer& answer) {
  if (!busy_ || id != call_id_) return;
  busy_ = false;
  const Then then = std::move(then_);
  Came came = then(answer);
  if (came.has_value()) events_.push_back(*std::move(came));
  Pump();
}

}  // namespace weft::simulation
