// The coordinator's decisions: events in, effects out. Time is an event; vectors are only digests
// here. No clock, no IO, no threads, no logging: equal states and equal events give equal effects
// on every machine, so a whole federation with crashes and delays can be replayed in one process.
// The driver writes the new state before it performs an effect.
//
//   Forming -> Open(r) -> Aggregating(r) [-> Evaluating(r)] -> Open(r+1) ... -> Finished
//   Paused by an operator; Halted(reason) if no good base exists
//
//   RoundMachine machine(manifest, RoundMachine::InitialState(manifest, membership, consensus));
//   machine.Step(TimeAdvanced{1000});
//   std::vector<Effect> effects = machine.Step(SiteJoined{"site-a", "session-1"});
//
// Every decision is an effect `Record` with a code and a reason in words. An event that changes the
// state gives at least one effect (TimeAdvanced may move `now` alone), so a step without effects
// need not be written. Thread-compatible; a value.
#ifndef WEFT_COORDINATOR_CORE_ROUND_MACHINE_H_
#define WEFT_COORDINATOR_CORE_ROUND_MACHINE_H_

#include <cstdint>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "coordinator/core/round_state.pb.h"

namespace weft {

// Events.
struct TimeAdvanced {
  int64_t unix_ms = 0;
};
// A process took over the state, before any other event of its: work that was under way begins
// again.
struct CoordinatorStarted {
  int64_t unix_ms = 0;
};
struct SiteJoined {
  std::string site;
  std::string session;
};
struct SiteResumed {  // its watch is open
  std::string site;
  std::string session;
};
struct SiteLost {  // its watch ended
  std::string site;
  std::string session;
};
struct SiteLeft {
  std::string site;
  std::string session;
  std::string reason;
};
struct MembershipChanged {
  Membership membership;
};
struct ContributionArrived {  // checked, and whole on disk
  uint64_t round = 0;
  StoredContribution contribution;
  std::string signed_contribution;
};
struct CallRefused {  // by a check outside the machine: written down, nothing else
  std::string site;
  Refusal refusal;
};
struct ReportReceived {
  std::string site;
  RoundReport report;
};
struct OuterStepDone {
  uint64_t round = 0;
  ConsensusVersion result;
  std::vector<double> cosines;  // of each contribution's change with the mean of them all; or none
  double step_norm = 0;         // ||z' - z||
};
struct OuterStepFailed {  // of the numbers, not of the disk: the same inputs would fail again
  uint64_t round = 0;
  std::string reason;
};
struct ReleasePublished {
  uint64_t version = 0;
};
struct EvaluationDone {  // of the candidate; or, later, of the consensus that is the base now
  uint64_t version = 0;
  bool accepted = false;
  std::string reason;
};
struct OperatorPaused {
  std::string reason;
};
struct OperatorResumed {
  std::string reason;
};
using Event = std::variant<TimeAdvanced, CoordinatorStarted, SiteJoined, SiteResumed, SiteLost,
                           SiteLeft, MembershipChanged, ContributionArrived, CallRefused,
                           ReportReceived, OuterStepDone, OuterStepFailed, ReleasePublished,
                           EvaluationDone, OperatorPaused, OperatorResumed>;

// Effects. Record and the Keep... are written with the state; the others are performed after that.
struct Record {
  Decision decision;
};
struct KeepReceipt {
  Receipt receipt;
};
struct KeepReport {
  SiteReport report;
};
struct KeepRound {
  RoundRecord record;
};
struct Accept {  // answers the caller; for a contribution, with its receipt
  std::string receipt_digest;
};
struct Refuse {
  Refusal refusal;
};
struct Announce {};  // tell every watcher
struct SaveSoon {};  // who is connected: worth showing, not worth a synced write of its own
struct RunOuterStep {
  RoundRecord record;  // the included contributions with their weights
  ConsensusVersion base;
};
struct PublishRelease {
  uint64_t version = 0;
  std::string digest;
  std::vector<std::string> fragment_digests;  // the vector in parts, where it travels in parts
};
struct Evaluate {  // somebody is to look at it, and to say what comes of that
  ConsensusVersion candidate;
};
struct RemoveUnneeded {};  // blobs and contributions that the state no longer names
using Effect = std::variant<Record, KeepReceipt, KeepReport, KeepRound, Accept, Refuse, Announce,
                            SaveSoon, RunOuterStep, Evaluate, PublishRelease, RemoveUnneeded>;

class RoundMachine {
 public:
  // `fragments`: the parts of the vector, where the manifest says that it travels in parts.
  static RoundState InitialState(const RunManifest& manifest, const Membership& membership,
                                 const ConsensusVersion& consensus,
                                 const std::vector<ConsensusVersion>& fragments = {});

  RoundMachine(RunManifest manifest, RoundState state);

  std::vector<Effect> Step(const Event& event);
  const RoundState& state() const { return state_; }

 private:
  void On(const TimeAdvanced& event);
  void On(const CoordinatorStarted& event);
  void On(const SiteJoined& event);
  void On(const SiteResumed& event);
  void On(const SiteLost& event);
  void On(const SiteLeft& event);
  void On(const MembershipChanged& event);
  void On(const ContributionArrived& event);
  void On(const CallRefused& event);
  void On(const ReportReceived& event);
  void On(const OuterStepDone& event);
  void On(const OuterStepFailed& event);
  void On(const ReleasePublished& event);
  void On(const EvaluationDone& event);
  void On(const OperatorPaused& event);
  void On(const OperatorResumed& event);

  // round_rules.cc: when a round opens, closes, goes on or is given up.
  void Enter(RoundEvent::Phase phase, Decision::Code code, std::string reason);
  void OpenOrWait();
  void Open();
  void CloseIfComplete();
  void ActAtDeadline();
  void CloseOrGoOnAtDeadline();
  void Extend(const std::string& why);
  // `anew`: what was contributed is of no use, the next round asks for new work from the same base.
  void Abandon(const std::string& why, bool anew);
  void Close(std::string reason);
  void NoteSilentSites();
  std::set<std::string> Invited() const;
  void MarkAbandoned(const std::string& why);
  void DropWork(const std::string& why);
  void BeginPause();

  // round_turns.cc: rounds without a barrier, one contribution each.
  void TakeInTurn(const ContributionArrived& event);
  void CloseWithNext();

  // round_outcomes.cc: what the end of a round means for its sites.
  void NoteOutcomes(const RoundRecord& ended);
  void NoteOutcome(const RoundRecord& ended, const StoredContribution& contribution,
                   const std::string& reason_against);
  void NoteResiduals(const OuterStepDone& event);

  // round_results.cc: what becomes of a round's consensus.
  void AwaitEvaluation(const ConsensusVersion& candidate);
  void EvaluateBase(const EvaluationDone& event);
  void EvaluationMissing();
  void TakeConsensus(ConsensusVersion consensus);
  void TurnToFragment();
  void RefuseCandidate(const std::string& why);
  void GoBackTo(ConsensusVersion good, uint64_t version);
  void LoseBase(const std::string& why);
  void KeepOlder();
  void EndRound(bool work_done);
  void DropCarried(RoundRecord* last);
  void AddRelease(const RoundRecord& record);
  void StartDueReleases();
  void FinishIfPublished();

  void Store(const StoredContribution& arrived, uint64_t round, const std::string& signed_bytes);
  bool AnswerIfDecided(const StoredContribution& arrived);
  bool AnswerIfStored(const StoredContribution& arrived, const StoredContribution& stored);
  void Carry(const StoredContribution& arrived, uint64_t round, const std::string& signed_bytes);
  void RemoveSite(absl::string_view site);
  void DropRevoked();
  bool HoldsSession(absl::string_view site, absl::string_view session);
  SiteState* FindSite(absl::string_view site);

  void Decide(Decision::Code code, std::string reason, absl::string_view site = {},
              absl::string_view digest = {});
  void RefuseCall(absl::string_view site, Refusal::Code code, std::string reason);
  void RefuseCommand(std::string reason);

  RunManifest manifest_;
  RoundState state_;
  std::vector<Effect> effects_;  // of the step under way
};

// "9f86d081": the first digits of a digest in bytes, as people read it in reasons.
std::string ShortHex(absl::string_view bytes);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_ROUND_MACHINE_H_
