// The driver's half: events, commits, effects. Calls are in coordinator_calls.cc, watchers and
// operators in coordinator_watches.cc.
#include "tests/simulation/simulated_coordinator.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace weft::simulation {
namespace {

constexpr int64_t kTickMs = 500;
constexpr int64_t kBlockMs = 20;
constexpr int64_t kRestartMsMax = 8000;

std::string ReceiptFile(const Receipt& receipt) {
  return absl::StrCat("receipt/", receipt.site(), "/", receipt.base_version());
}

}  // namespace

SimulatedCoordinator::SimulatedCoordinator(World* world)
    : Process(world), disk_(&world->faults, Mix(world->scenario.seed ^ 0xc0)) {
  const Scenario& scenario = world->scenario;
  shape_ = {Layout(), manifest().encodings().up(), {}};
  Batch batch;
  const auto store = [&](const Vector& z, Part part) {
    std::string blob = PlainBlob(z, part);
    ConsensusVersion version;
    version.set_digest(DigestOf(blob));
    version.set_bytes(blob.size());
    batch.push_back({VectorFile(version.digest()), std::move(blob)});
    return version;
  };
  const Vector whole = InitialVector(scenario.seed, scenario.elements);
  const ConsensusVersion consensus = store(whole, {});
  std::vector<ConsensusVersion> fragments;
  for (uint32_t f = 0; f < scenario.fragments(); ++f) {
    const FragmentRange range = scenario.range(f);
    shape_.blob_bytes.push_back(EncodedBytes(scenario.up, range.size));
    if (scenario.fragments() == 1) continue;
    const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(range.begin);
    const Vector z(begin, begin + static_cast<std::ptrdiff_t>(range.size));
    fragments.push_back(store(z, scenario.part(f)));
  }
  const RoundState state =
      RoundMachine::InitialState(manifest(), scenario.membership, consensus, fragments);
  batch.push_back({"state", state.SerializeAsString()});
  // Of init, which is done again when it fails.
  while (!disk_.Write(batch, Sync::kYes).ok) {
  }
  world->checkers.Committed(state, state.SerializeAsString(), {});
}

RoundState SimulatedCoordinator::DurableState() const {
  RoundState state;
  WEFT_CHECK(state.ParseFromString(*disk_.ReadDurable("state")));
  return state;
}

void SimulatedCoordinator::Start() {
  if (up()) return;
  Begin();
  const std::string& bytes = *disk_.Read("state");
  world_->checkers.Loaded(bytes);
  RoundState state;
  WEFT_CHECK(state.ParseFromString(bytes));
  if (take_over_) state.set_coordinator_epoch(state.coordinator_epoch() + 1);
  take_over_ = false;
  world_->mutation.loaded(&state);
  world_->Trace("coordinator", "starts: ", state.reason());
  if (disk_.Read(VectorFile(state.consensus().digest())) == nullptr) {
    return world_->checkers.Violated("durable_first", "the state names a consensus that is gone");
  }
  const int64_t now_ms = world_->scheduler.now_ms();
  clock_ = std::make_unique<RunClock>(
      state.now_unix_ms(), world_->scenario.start_unix_ms + now_ms + clock_offset_ms_, now_ms);
  machine_ = std::make_unique<RoundMachine>(manifest(), std::move(state));
  // Before time: a round that time closes runs its outer step by itself.
  if (!Apply(machine_->Step(CoordinatorStarted{UnixMs()}))) return;
  After(kTickMs, [this] { Tick(); });
}

void SimulatedCoordinator::Crash(absl::string_view why) {
  if (!up()) return;
  world_->Trace("coordinator", "crashes: ", why);
  End();
  disk_.Crash();
  machine_.reset();
  outer_step_runs_ = false;
  flush_is_due_ = false;
  for (const auto& [stream, watch] : watches_) {
    world_->network.Close(stream);
    world_->network.Send(watch.site, [world = world_, site = watch.site] {
      world->sites[static_cast<size_t>(site)]->ConnectionReset();
    });
  }
  watches_.clear();
  // Somebody, or systemd, starts it again.
  world_->scheduler.After(world_->random.Between(10, kRestartMsMax), [this] { Start(); });
}

bool SimulatedCoordinator::CrashesHere(absl::string_view where) {
  if (!world_->faults.Happens(Fault::kCrashInStep)) return false;
  Crash(where);
  return true;
}

void SimulatedCoordinator::Fail(absl::string_view what) {
  world_->Trace("coordinator", "fails: ", what);
  Crash(what);
}

void SimulatedCoordinator::Tick() {
  if (!Handle(TimeAdvanced{UnixMs()})) return;
  if (save_soon_ && !Commit({})) return;
  if (world_->scheduler.now_ms() % world_->scenario.heartbeat_ms < kTickMs) Flush();
  if (up()) After(kTickMs, [this] { Tick(); });
}

SimulatedCoordinator::Outcome SimulatedCoordinator::Handle(Event event) {
  if (!up()) return std::nullopt;
  if (!std::holds_alternative<TimeAdvanced>(event) && !Handle(TimeAdvanced{UnixMs()})) {
    return std::nullopt;
  }
  if (const auto* arrived = std::get_if<ContributionArrived>(&event)) {
    // A late one's folder may have been removed meanwhile: it is sent again.
    const std::string file = ContributionFile(arrived->round, arrived->contribution.digest());
    if (disk_.Read(file) == nullptr) return std::nullopt;
  }
  if (world_->mutation.swallow(event)) return std::vector<Effect>();
  RoundState changed;
  if (!world_->mutation.name.empty()) changed = machine_->state();
  if (world_->mutation.tamper(event, &changed)) {
    machine_ = std::make_unique<RoundMachine>(manifest(), std::move(changed));
  }
  std::vector<Effect> effects = machine_->Step(event);
  if (!Apply(effects)) return std::nullopt;
  return effects;
}

bool SimulatedCoordinator::Apply(std::vector<Effect> effects) {
  world_->mutation.effects(&effects);
  const bool may_wait = std::all_of(effects.begin(), effects.end(), [](const Effect& e) {
    return std::holds_alternative<SaveSoon>(e);
  });
  if (may_wait) {
    save_soon_ = save_soon_ || !effects.empty();
    return true;
  }
  if (world_->mutation.effects_before_commit && !Perform(effects)) return false;
  if (CrashesHere("before a commit") || !Commit(effects) || CrashesHere("after a commit")) {
    return false;
  }
  return world_->mutation.effects_before_commit || Perform(effects);
}

bool SimulatedCoordinator::Commit(const std::vector<Effect>& effects) {
  save_soon_ = false;
  Batch batch;
  const std::string bytes = machine_->state().SerializeAsString();
  batch.push_back({"state", bytes});
  for (const Effect& effect : effects) {
    if (const auto* receipt = std::get_if<KeepReceipt>(&effect)) {
      batch.push_back({ReceiptFile(receipt->receipt), receipt->receipt.SerializeAsString()});
    } else if (const auto* record = std::get_if<Record>(&effect)) {
      const Decision& decision = record->decision;
      world_->Trace("coordinator", Decision::Code_Name(decision.code()), " ", decision.site(), ": ",
                    decision.reason());
    }
  }
  const SimulatedDisk::Written written =
      disk_.Write(std::move(batch), world_->mutation.commit_sync);
  if (written.durable) world_->checkers.Committed(machine_->state(), bytes, effects);
  if (!written.ok) Fail("a commit failed");
  return written.ok;
}

bool SimulatedCoordinator::Perform(const std::vector<Effect>& effects) {
  for (const Effect& effect : effects) {
    if (CrashesHere("between two effects")) return false;
    Do(effect);
    if (!up()) return false;
  }
  return true;
}

void SimulatedCoordinator::Do(const Effect& effect) {
  if (std::holds_alternative<Announce>(effect)) {
    // The mutation's word is out at once; ours waits for the next that is to be told.
    if (world_->mutation.effects_before_commit) return Flush();
    FlushSoon();
  } else if (const auto* step = std::get_if<RunOuterStep>(&effect)) {
    outer_step_runs_ = true;
    if (!GatherContributions(step->record)) return Fail("a contribution cannot be linked");
    const auto run =
        std::make_shared<OuterStepRun>(world_->scenario, world_->mutation, &disk_, *step);
    if (!run->Open()) return Fail("an outer step's input cannot be read");
    After(kBlockMs, [this, run] { RunBlock(run); });
  } else if (const auto* publish = std::get_if<PublishRelease>(&effect)) {
    After(world_->random.Between(10, 500), [this, version = publish->version] {
      const std::string file = absl::StrCat("release/", version);
      if (!disk_.Write({{file, "published"}}, Sync::kYes).ok) return Fail("a release failed");
      Handle(ReleasePublished{version});
    });
  } else if (const auto* evaluate = std::get_if<Evaluate>(&effect)) {
    AskForEvaluation(evaluate->candidate);
  } else if (std::holds_alternative<weft::RemoveUnneeded>(effect)) {
    RemoveUnneeded();
  }
}

void SimulatedCoordinator::RunBlock(const std::shared_ptr<OuterStepRun>& run) {
  if (!run->problem().empty()) {
    outer_step_runs_ = false;
    Handle(OuterStepFailed{run->round(), run->problem()});
    return;
  }
  if (CrashesHere("inside an outer step")) return;
  if (!run->StepBlock() || !run->problem().empty()) {
    return After(kBlockMs, [this, run] { RunBlock(run); });
  }
  for (std::optional<bool> all = false; !*all;) {
    if (CrashesHere("between two results of an outer step")) return;
    all = run->CommitNext();
    if (!all.has_value()) return Fail("a result of an outer step cannot be written");
  }
  outer_step_runs_ = false;
  Handle(run->result());
}

void SimulatedCoordinator::RemoveUnneeded() {
  if (outer_step_runs_) return;
  const RoundState& state = machine_->state();
  std::set<std::string> needed;
  std::vector<const ConsensusVersion*> versions = {&state.consensus(), &state.candidate(),
                                                   &state.last_good()};
  for (const ConsensusVersion& fragment : state.fragments()) versions.push_back(&fragment);
  for (const ConsensusVersion* version : versions) {
    for (const std::string* digest :
         {&version->digest(), &version->delta_digest(), &version->momentum_digest(),
          &version->second_moment_digest(), &version->residual_digest()}) {
      needed.insert(VectorFile(*digest));
    }
  }
  for (const ConsensusVersion& older : state.older()) needed.insert(VectorFile(older.digest()));
  for (const PendingRelease& release : state.releases()) {
    needed.insert(VectorFile(release.digest()));
    for (const std::string& part : release.fragment_digests()) needed.insert(VectorFile(part));
  }
  std::set<std::string> folders = {ContributionFile(state.current().round(), "")};
  const auto keep = [&](const StoredContribution& c) {
    needed.insert(VectorFile(c.base_digest()));
    folders.insert(ContributionFile(c.round(), ""));
  };
  for (const StoredContribution& c : state.carried()) keep(c);
  for (const StoredContribution& c : state.current().contributions()) keep(c);
  for (const std::string& file : disk_.List("vector/")) {
    if (needed.count(file) == 0) disk_.RemoveFile(file);
  }
  const size_t folder_size = folders.begin()->size();
  for (const std::string& file : disk_.List("contribution/")) {
    if (folders.count(file.substr(0, folder_size)) == 0) disk_.RemoveFile(file);
  }
}

// The folder of a round holds everything that its consensus is made of.
bool SimulatedCoordinator::GatherContributions(const RoundRecord& record) {
  for (const StoredContribution& c : record.contributions()) {
    if (c.round() == record.round()) continue;
    const std::string* blob = disk_.Read(ContributionFile(c.round(), c.digest()));
    const std::string here = ContributionFile(record.round(), c.digest());
    if (blob == nullptr && disk_.Read(here) == nullptr) return false;
    if (blob != nullptr && !disk_.Write({{here, *blob}}, Sync::kYes).ok) return false;
  }
  return true;
}

// An evaluator that reads the candidate, and says once what it thinks of it, if it comes to that.
void SimulatedCoordinator::AskForEvaluation(const ConsensusVersion& candidate) {
  int64_t ms = world_->random.Between(500, 4000);
  if (world_->faults.Happens(Fault::kNoEvaluation)) ms = world_->random.Between(1000, 60'000);
  const bool accepted = !world_->faults.Happens(Fault::kConsensusRefused);
  After(ms, [this, accepted, version = candidate.version()] {
    world_->checkers.Evaluated(version, accepted);
    Handle(EvaluationDone{version, accepted, accepted ? "it is good" : "its loss rose"});
  });
}

}  // namespace weft::simulation
