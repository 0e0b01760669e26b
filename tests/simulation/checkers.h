// What must hold at every step of a federation, checked by one who sees everything: the parts of
// the simulation tell what they did, and the first thing that is wrong is kept.
//
//   one_contribution    at most one contribution of a site for a base is sent, and stored; another
//                       only where its disk has lost it
//   counts_once         what is stored is included exactly once, or excluded with a reason
//   recompute           the consensus is what plain loops make of the included contributions
//   never_back          epochs, rounds and versions only grow, at the coordinator and at each gate
//   trains_committed    a worker trains only from a consensus that the coordinator has committed
//   quality_floor       whose declared loss rose too much is left out, and nobody else for that
//   receipts            a receipt is durable before it is sent, and its site is not asked again
//   durable_first       what is told or sent was written before; a restart finds the last write
//   admission           what is stored is finite, within the norm, from its base, of the work asked
//   for site_ends           a gate ends only for reasons that the faults explain feedback what a
//   site still owes is what it wanted to send less what has counted progress            when the
//   faults stop, the run finishes in bounded time
//
// Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_CHECKERS_H_
#define WEFT_TESTS_SIMULATION_CHECKERS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "coordinator/core/round_machine.h"
#include "tests/simulation/feedback.h"
#include "tests/simulation/messages.h"
#include "tests/simulation/recompute.h"
#include "tests/simulation/scenario.h"
#include "worker/core/gate_state.pb.h"

namespace weft::simulation {

struct Violation {
  std::string checker;
  std::string words;
};

class Checkers {
 public:
  explicit Checkers(const Scenario& scenario);

  bool violated() const { return !violation_.checker.empty(); }
  const Violation& violation() const { return violation_; }
  void Violated(absl::string_view checker, std::string words);

  // The coordinator. A transition has become durable.
  void Committed(const RoundState& state, const std::string& bytes,
                 absl::Span<const Effect> effects);
  // A process begins from these bytes.
  void Loaded(const std::string& state);
  void Told(const std::string& site, const RoundEvent& event);
  void Answered(const PushCall& call, const PushReply& reply);

  // The sites. `durable`: the gate's state on its disk; null for a hostile site.
  void Sent(const std::string& site, const PushCall& call, const GateState* durable);
  // Its file is damaged or gone.
  void ContributionLost(const std::string& site, const std::string& blob) {  // hex
    lost_.insert({site, blob});
  }
  // From these bytes: the base, or all fragments.
  void TrainingBegan(const std::string& site, const std::vector<std::string>& digests);
  void FinalRecorded(const std::string& site, const std::string& digest);  // hex
  void GateCommitted(const std::string& site, const GateState& state);
  void GateEnded(const std::string& site, const std::string& reason, bool finished);
  void Evaluated(uint64_t version, bool accepted) {
    if (accepted) accepted_.insert(version);
  }
  void SiteRevoked(const std::string& site) { revoked_.insert(site); }

  Feedback& feedback() { return feedback_; }

  // Of each version what rounds with that base start from: with fragments, the round's own.
  const std::vector<PlainConsensus>& versions() const { return versions_; }
  // That a site may call version `version`; nullptr: there is none.
  const PlainConsensus* FindBase(uint64_t version, const std::string& digest) const;

 private:
  using SiteAndVersion = std::pair<std::string, uint64_t>;

  void CheckNeverBack(const RoundState& state);
  void CheckBaseTold(const std::string& site, const RoundEvent& event);
  uint64_t BaseVersionOf(const std::string& site) const;
  void NoteOutcomes(const RoundState& state);
  uint32_t MostSteps() const;
  void CheckStored(const RoundState& state);
  void OnReceipt(const Receipt& receipt);
  void OnExcluded(const Decision& decision);
  // By what the site itself has declared, in nats per token.
  bool BelowFloor(const std::string& site, const std::string& digest) const;
  // The round after it is the last's, or the state's own.
  void OnRound(const RoundRecord& record, const RoundRecord& following);
  void OnConsensus(const RoundRecord& record, const RoundRecord& following);
  void Count(const RoundRecord& record);
  // What has a receipt and is neither counted nor excluded waits in the state.
  void CheckNothingIsLost(const RoundState& state);
  void CountTurn(const RoundRecord& record);
  PlainConsensus Recompute(const RoundRecord& record);
  void Tell(const RoundRecord& record);
  void TakeVersion(PlainConsensus next);
  void GoBack(const RoundRecord& following);

  const Scenario& scenario_;
  Violation violation_;
  Feedback feedback_;
  std::vector<PlainConsensus> versions_;
  std::vector<PlainConsensus> fragments_;       // as they are now
  std::vector<std::vector<std::string>> cuts_;  // of each version all fragments' digests
  std::string committed_;                       // the last durable state's bytes
  // What that state says.
  uint64_t epoch_ = 0, round_ = 0, version_ = 0;
  RoundEvent::Phase phase_ = RoundEvent::FORMING;
  std::set<uint64_t> refused_;                      // versions that no one may use
  std::set<uint64_t> accepted_ = {0};               // by an evaluation; the initial one is good
  std::map<SiteAndVersion, std::string> receipts_;  // digest
  std::set<SiteAndVersion> waiting_;                // that have a receipt, and no more as yet
  std::set<SiteAndVersion> excluded_;
  std::vector<SiteAndVersion> arrivals_;  // without a barrier: what waits, in that order
  std::map<std::string, uint64_t> met_;   // elastic: the version that a site's last one met
  Membership closing_;                    // that was in force when the round closed
  uint64_t closing_round_ = UINT64_MAX;
  std::map<SiteAndVersion, std::string> sent_for_base_;
  std::set<std::pair<std::string, std::string>> lost_;
  // Blobs by site, digest and the base that the site said they are from.
  std::map<std::tuple<std::string, std::string, std::string>, std::string> sent_;
  std::map<std::pair<std::string, std::string>, double> rises_;  // declared; by site and digest
  std::map<std::string, std::pair<uint64_t, uint64_t>> gates_;   // epoch, round
  std::set<std::string> revoked_;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_CHECKERS_H_
