// The gate of a simulated site: the real site machine, with a driver that does what
// worker/gate/site_driver.cc does, in the same order, on a simulated disk: step, persist, effects.
// One operation is under way at a time; calls are tried again until they are answered.
//
// Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_SIMULATED_GATE_H_
#define WEFT_TESTS_SIMULATION_SIMULATED_GATE_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/simulated_disk.h"
#include "tests/simulation/simulated_worker.h"
#include "tests/simulation/world.h"
#include "worker/core/site_machine.h"

namespace weft::simulation {

class SimulatedGate final : public SiteEnd, private Process {
 public:
  SimulatedGate(World* world, int site);

  void Start();
  void Crash(absl::string_view why);
  // The site ends without a word, for good.
  void Vanish();
  using Process::up;
  bool finished() const { return finished_; }
  bool out() const { return out_; }  // vanished, or refused for good
  SimulatedWorker& worker() { return worker_; }
  SimulatedDisk& disk() { return disk_; }
  void JumpClock(int64_t ms) { clock_offset_ms_ += ms; }
  const std::string& name() const { return name_; }
  std::string Describe() const;

  void ReceiveEvent(uint64_t stream, const RoundEvent& event) override;
  void ConnectionReset() override;

 private:
  using Came = std::optional<site::SiteEvent>;
  using Then = std::function<Came(const Answer&)>;

  void Feed(site::SiteEvent event);
  void Pump();
  void Tamper(const site::SiteEvent& event);
  bool Persist();
  void Poll();
  void Listen();
  void LookForResult();
  void OpenWatch();
  void CloseWatch();
  void EndWith(const std::string& reason, bool finished);
  bool CrashesHere(absl::string_view where);
  bool Write(const std::string& file, std::string bytes);

  Came Do(const site::JoinRun&);
  Came Do(const site::FetchBase& effect);
  Came Do(const site::PrepareDual& effect);
  Came Do(const site::WriteOrder& effect);
  Came Do(const site::CutOrder& effect);
  Came Do(const site::FormContribution& effect);
  Came Do(const site::PushContribution& effect);
  Came Do(const site::DiscardResult& effect);
  Came Do(const site::SendReport& effect);
  Came Do(const site::CleanUp& effect);
  Came Do(const site::RecordFinal& effect);
  Came Do(const site::StopWorker&);
  Came Do(const site::LeaveRun& effect);
  Came Do(const site::Warn& effect);
  Came Do(const site::Note& effect);
  Came Do(const site::Finish&);
  Came Do(const site::Fail& effect);

  void WriteOrder(const RoundEvent& round, uint32_t steps_enough);
  bool HoldsWhole(const std::string& file, const std::string& digest) const;

  // gate_fetch.cc. A vector that is to lie at the site; digests in bytes.
  struct Wanted {
    std::string digest, delta, delta_base;
    Part part;
  };
  Came FetchNext(const RoundEvent& round, std::vector<Wanted> wanted, bool delta);
  bool UseDelta(const Wanted& wanted, const std::string& blob);
  Came Fetched(const RoundEvent& round);

  // gate_vectors.cc.
  struct Formed {
    std::string blob;
    Vector residual, sent;  // that the site holds next, if it counts; empty: as before
    double primal_residual = 0;
  };
  std::optional<Vector> ReadWhole(const std::string& file, const std::string& digest,
                                  Part part) const;
  std::string KeepOwn(const Vector& x, Part part, bool with_copy);
  std::string SentOrInitial() const;
  bool HoldSent();
  std::optional<Formed> Form(const site::FormContribution& effect);
  void RemoveOwn(const std::vector<std::string>& keep);

  // Sends the call until it is answered; `give_up_ms` 0: for ever.
  void StartCall(Call call, Then then, int64_t give_up_ms = 0);
  void Attempt(SharedCall call, uint64_t id, int64_t wait_ms);
  void Answered(uint64_t id, const Answer& answer);

  const int number_;
  const std::string name_;
  SimulatedDisk disk_;
  SimulatedWorker worker_;
  std::unique_ptr<site::SiteMachine> machine_;
  std::string persisted_;
  std::deque<site::SiteEvent> events_;
  std::deque<site::SiteEffect> effects_;
  // The call under way.
  bool busy_ = false;
  uint64_t call_id_ = 0;
  Then then_;
  // The watch.
  MessageContext context_;
  bool joined_ = false;
  uint64_t stream_ = 0;
  int64_t heard_ms_ = 0;
  int64_t next_watch_ms_ = 0;
  std::optional<RoundEvent> newest_;
  int64_t clock_offset_ms_ = 0;
  bool finished_ = false;
  bool out_ = false;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_SIMULATED_GATE_H_
