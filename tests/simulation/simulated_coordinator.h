// The coordinator of a simulated federation: the real round machine, admission and arithmetic, with
// a driver that does what coordinator/server/round_driver.cc and contribution_intake.cc do, in the
// same order, on a simulated disk. It may crash before and after every write and between any two
// effects.
//
//   SimulatedCoordinator coordinator(&world);   // weft-coordinator init
//   coordinator.Start();                        // serve
//   coordinator.Crash();
//
// Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_SIMULATED_COORDINATOR_H_
#define WEFT_TESTS_SIMULATION_SIMULATED_COORDINATOR_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/admission.h"
#include "coordinator/core/round_machine.h"
#include "coordinator/core/run_clock.h"
#include "tests/simulation/outer_step_run.h"
#include "tests/simulation/simulated_disk.h"
#include "tests/simulation/world.h"

namespace weft::simulation {

class SimulatedCoordinator final : public CoordinatorEnd, private Process {
 public:
  explicit SimulatedCoordinator(World* world);

  void Start();
  // The process is gone, and with it what was not synced.
  void Crash(absl::string_view why);
  using Process::up;
  // What the disk says, whether or not a process runs.
  RoundState DurableState() const;

  void Receive(int site, const Call& call, Respond respond) override;
  void OpenWatch(int site, const MessageContext& context, uint64_t stream) override;
  void WatchEnded(uint64_t stream) override;

  // What operators and the world do.
  void Revoke(const std::string& site);
  void Pause();
  void Resume();  // also when it was not paused
  void TakeOverAtNextStart() { take_over_ = true; }
  void JumpClock(int64_t ms) { clock_offset_ms_ += ms; }
  void SetClockRight() { clock_offset_ms_ = 0; }

 private:
  using Outcome = std::optional<std::vector<Effect>>;
  struct Watch {
    int site = 0;
    MessageContext context;
  };

  // The driver's loop: event, step, persist, effects. No value: there is no answer (the process has
  // ended, or a contribution's file is gone).
  Outcome Handle(Event event);
  bool Apply(std::vector<Effect> effects);
  bool Commit(const std::vector<Effect>& effects);
  bool Perform(const std::vector<Effect>& effects);
  void Do(const Effect& effect);
  bool CrashesHere(absl::string_view where);
  void Fail(absl::string_view what);
  void Tick();
  int64_t UnixMs() const { return clock_->UnixMs(world_->scheduler.now_ms()); }

  // Calls.
  void On(int site, const JoinRequest& call, const Respond& respond);
  void On(int site, const PullRequest& call, const Respond& respond);
  void On(int site, const PushCall& call, const Respond& respond);
  void On(int site, const ReportRequest& call, const Respond& respond);
  void On(int site, const LeaveRequest& call, const Respond& respond);
  Refusal CheckCaller(int site, const MessageContext& context, bool session_needed) const;
  std::optional<PushReply> FindReceipt(const PushCall& call) const;
  void Spool(const PushCall& call, const Respond& respond);
  void CheckAndStore(const PushCall& call, const Respond& respond);
  Refusal CheckBytes(const PushCall& call, double* norm) const;
  void AnswerPush(const PushCall& call, const PushReply& reply, const Respond& respond);
  void RefusePush(int site, const PushCall& call, Refusal refusal, const Respond& respond);

  // Watchers.
  void FlushSoon();
  void Flush();
  void Tell(uint64_t stream);

  void RunBlock(const std::shared_ptr<OuterStepRun>& run);
  bool GatherContributions(const RoundRecord& record);
  void AskForEvaluation(const ConsensusVersion& candidate);
  void RemoveUnneeded();

  const RunManifest& manifest() const { return world_->scenario.manifest; }

  SimulatedDisk disk_;
  ContributionShape shape_;
  std::unique_ptr<RoundMachine> machine_;
  std::unique_ptr<RunClock> clock_;  // of this process
  bool outer_step_runs_ = false;
  std::map<uint64_t, Watch> watches_;
  bool flush_is_due_ = false;
  bool save_soon_ = false;
  bool take_over_ = false;
  uint64_t sessions_ = 0;
  int64_t clock_offset_ms_ = 0;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_SIMULATED_COORDINATOR_H_
