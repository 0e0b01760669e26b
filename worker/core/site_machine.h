// The gate's side of the round protocol as a pure state machine: events in, effects out, no clock,
// files or network. The mirror of the coordinator's round machine.
//
//   site::SiteMachine machine(state, limits);
//   for (const SiteEffect& effect : machine.Step(Joined{context, now})) {
//     // The driver writes machine.state() durably, performs the effect, feeds back what came.
//   }
//
// Equal state and equal events give equal effects. Every effect may be performed twice (a crash
// repeats it): fetching what is there is a look, an order is the same file, a contribution the same
// bytes.
//
// The rules it holds: one contribution for the work of a round (a reopened round that asks for the
// same work from the same base gets the same bytes; others only where these are lost on disk, and
// the coordinator says that it has none); when time is up, the worker stops as soon as it has done
// enough; work whose round has closed is still sent where the run carries late contributions; what
// a contribution leaves behind (error feedback, the dual's part) counts only once the coordinator
// has included it; without a barrier one base is one work; an older coordinator epoch, another run
// or a receipt for other bytes ends the gate; a refusal that concerns one round ends that round
// only; the newest session of a site wins; nothing waits beyond a bound.
//
// Thread-compatible.
#ifndef WEFT_WORKER_CORE_SITE_MACHINE_H_
#define WEFT_WORKER_CORE_SITE_MACHINE_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "worker/core/gate_state.pb.h"

namespace weft::site {

enum class Operation { kJoin, kWatch, kPull, kPush, kReport, kLeave };
absl::string_view OperationName(Operation operation);

// ---- Events: what the driver saw.
struct Started {};
struct Joined {
  MessageContext context;
  RoundEvent now;
};
struct RoundChanged {
  RoundEvent now;
};
struct BaseFetched {
  std::string digest;     // hex; the round's base
  std::string assembled;  // hex; the whole vector, where the run is finished and it came in parts
};
// What the order of the round needs beside its base, where sites keep duals. Hex.
struct DualReady {
  std::string base;
  std::string dual;    // empty: zeros
  std::string anchor;  // empty: the base
};
struct ResultSeen {
  RoundResult result;
};
// The worker's result cannot be sent: a vector that is missing, damaged, of another layout or not
// finite; or what was formed of it is damaged and could not be formed again.
struct ResultUnusable {
  std::string reason;
};
struct ContributionFormed {
  std::string blob_digest;  // hex
  uint64_t blob_bytes = 0;
  // What the gate's own vectors become if it is included, hex; empty: as they are.
  std::string residual, sent;
  double primal_residual = 0;  // with a dual: ||x - z||
};
struct ContributionStored {
  std::string receipt_digest;  // hex
};
struct Reported {};
struct Refused {
  Operation operation;
  Refusal refusal;
};
// Tried again and again, as long as the driver's own bounds allow, and still not done.
struct OperationFailed {
  Operation operation;
  std::string reason;
};
struct ConnectionLost {
  std::string reason;
};
struct WorkerGone {
  std::string reason;
};
// By the coordinator's clock, as a join has measured it. After a join it may have gone back, for
// that measures it anew; between two joins a time before an earlier one changes nothing.
struct TimeAdvanced {
  int64_t unix_ms = 0;
};
using SiteEvent = std::variant<Started, Joined, RoundChanged, BaseFetched, DualReady, ResultSeen,
                               ResultUnusable, ContributionFormed, ContributionStored, Reported,
                               Refused, OperationFailed, ConnectionLost, WorkerGone, TimeAdvanced>;

// ---- Effects: what the driver is to do, in this order.
struct JoinRun {};
struct FetchBase {
  RoundEvent round;
  bool delta = false;  // the site may hold what a delta is applied to
};
// ADMM, between the base and its order: the dual's step, u = (u + x - z) * scale, and the anchor
// z - u. Hex.
struct PrepareDual {
  RoundEvent round;
  std::string dual;    // u; empty: zeros
  std::string vector;  // x of the contribution that has counted since; empty: none has
  double scale = 1;    // rho before / rho now
};
struct WriteOrder {
  RoundEvent round;
};
// Time is up: the worker ends the order as soon as it has done round.inner_steps_min steps.
struct CutOrder {
  RoundEvent round;
};
struct FormContribution {
  RoundEvent round;
  RoundResult result;
  // The gate's own vectors that go into it, hex; empty: zeros, or for `sent` the initial consensus.
  std::string residual, dual, sent;
  // What was formed of this work before, hex; empty: nothing. Whole, it is signed again as it is.
  std::string formed;
  double formed_primal_residual = 0;
};
struct PushContribution {
  RoundEvent round;
};
// Forget the worker's result: an order of the same round is to be done again.
struct DiscardResult {
  uint64_t work = 0;
};
struct SendReport {
  RoundEvent round;
  RoundResult result;
};
// Rounds before this one are over; `keep` (hex) are digests still needed: in the site directory,
// and in the gate's own folder.
struct CleanUp {
  uint64_t round = 0;
  std::vector<std::string> keep, keep_own;
};
struct RecordFinal {
  RoundEvent round;
  std::string digest;  // hex; of the whole vector
};
struct StopWorker {
  std::string reason;
};
struct LeaveRun {
  std::string reason;
};
struct Warn {
  std::string words;
};
// Good to know for who runs the gate.
struct Note {
  std::string words;
};
struct Finish {};
struct Fail {
  std::string reason;
};
using SiteEffect =
    std::variant<JoinRun, FetchBase, PrepareDual, WriteOrder, CutOrder, FormContribution,
                 PushContribution, DiscardResult, SendReport, CleanUp, RecordFinal, StopWorker,
                 LeaveRun, Warn, Note, Finish, Fail>;

// The number under which a round's work is ordered: that of the first round that asked for it.
inline uint64_t WorkOf(const RoundEvent& round) { return round.round() - round.reopened(); }

// The contribution to the present round, from what the state holds.
FormContribution FormingOf(const GateState& state);
// The contribution formed last is of the round's work: another is formed of it only if it is lost.
bool IsOfTheWorkAtHand(const GateState& state);
// "contribution of round 3 counted 0.25 in round 3"; empty where nothing was decided yet.
std::string OutcomeWords(const ContributionOutcome& outcome);

// What the accepted manifest says about how contributions count.
struct SiteScheme {
  bool asynchronous = false;  // no barrier: every contribution closes a round
  bool dual = false;          // ADMM
  double rho = 0;             // where no event names another
  uint32_t fragments = 1;
};
SiteScheme SchemeOf(const RunManifest& manifest);

struct SiteLimits {
  int64_t silence_ms_max = int64_t{24} * 3600 * 1000;  // without any word from the coordinator
};

class SiteMachine {
 public:
  SiteMachine(GateState state, SiteLimits limits, SiteScheme scheme = {})
      : state_(std::move(state)), limits_(limits), scheme_(scheme) {}

  std::vector<SiteEffect> Step(const SiteEvent& event);
  const GateState& state() const { return state_; }

 private:
  using Effects = std::vector<SiteEffect>;
  Effects On(const Started&);
  Effects On(const Joined&);
  Effects On(const RoundChanged&);
  Effects On(const BaseFetched&);
  Effects On(const DualReady&);
  Effects On(const ResultSeen&);
  Effects On(const ResultUnusable&);
  Effects On(const ContributionFormed&);
  Effects On(const ContributionStored&);
  Effects On(const Reported&);
  Effects On(const Refused&);
  Effects On(const OperationFailed&);
  Effects On(const ConnectionLost&);
  Effects On(const WorkerGone&);
  Effects On(const TimeAdvanced&);

  // site_rounds.cc: which work is begun, gone on with, or given up.
  Effects Follow(const RoundEvent& now, bool drive_again);
  bool HasTheFragments(const RoundEvent& now) const;
  Effects FollowPhase(const RoundEvent& now, bool drive_again);
  Effects FollowOpen(const RoundEvent& now, bool drive_again);
  Effects FollowReopened(const RoundEvent& now, bool drive_again);
  bool SameWork(const RoundEvent& now) const;
  bool MayStillCount(const RoundEvent& now) const;
  void TakeDeadline(const RoundEvent& now);
  Effects Begin(const RoundEvent& now);
  Effects BeginFinish(const RoundEvent& now, bool drive_again);
  Effects Order(std::string anchor);

  // site_outcomes.cc: what becomes of a contribution, and of what it leaves behind.
  Effects TakeOutcome(const RoundEvent& now);
  bool IsDecided() const;
  void Count();
  void KeepLost();
  void TakeLostBack();
  void SettleUndecided();
  std::vector<std::string> OwnVectors() const;

  // The effects that the present stage stands for.
  Effects Drive();
  Effects EndRound(std::string outcome);
  Effects GiveUpWork(const ContributionFormed& formed);

  GateState state_;
  SiteLimits limits_;
  SiteScheme scheme_;
  // Not kept over a restart: a restart joins and drives its stage again anyway.
  int64_t now_ms_ = 0;
  bool clock_is_new_ = false;
  int64_t silent_since_ms_ = -1;
  std::string silence_reason_;
  bool drive_at_next_event_ = false;
  uint64_t warned_late_round_ = UINT64_MAX;
  uint64_t cut_work_ = UINT64_MAX;
};

}  // namespace weft::site

#endif  // WEFT_WORKER_CORE_SITE_MACHINE_H_
