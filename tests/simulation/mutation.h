// A machine broken on purpose: filters around the machines' events, effects, persisted state and
// what their drivers do. The default breaks nothing. Each named mutation (mutations.cc) must be
// caught by a checker; one that is not shows a checker that cannot fail.
#ifndef WEFT_TESTS_SIMULATION_MUTATION_H_
#define WEFT_TESTS_SIMULATION_MUTATION_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "coordinator/core/round_machine.h"
#include "tests/simulation/simulated_disk.h"
#include "worker/core/site_machine.h"

namespace weft::simulation {

struct Mutation {
  std::string name;  // empty: nothing is broken
  std::string what;  // in words
  std::string caught_by;

  // The coordinator's.
  Sync commit_sync = Sync::kYes;
  bool effects_before_commit = false;
  bool looks_for_receipts = true;    // before a contribution is taken
  bool checks_contributions = true;  // by admission and by what is stored
  bool checks_bytes = true;          // finite, norm
  bool changes_momentum_in_place = false;
  // True: the event does not reach the machine.
  std::function<bool(const Event&)> swallow = [](const Event&) { return false; };
  // May change the state before the event is handled; true when it did.
  std::function<bool(const Event&, RoundState*)> tamper = [](const Event&, RoundState*) {
    return false;
  };
  std::function<void(std::vector<Effect>*)> effects = [](std::vector<Effect>*) {};
  std::function<void(RoundState*)> loaded = [](RoundState*) {};
  std::function<void(RoundEvent*)> told = [](RoundEvent*) {};

  // The sites'. May change a gate's state before the event is handled; true when it did.
  std::function<bool(const site::SiteEvent&, GateState*)> tamper_gate =
      [](const site::SiteEvent&, GateState*) { return false; };
  bool gate_persists_late = false;  // only after the effects
  bool verifies_base = true;        // the worker, before it trains
  bool forgets_contribution =
      false;  // the gate, when it starts again; and the worker repeats nothing
};

absl::Span<const Mutation> Mutations();
const Mutation* FindMutation(const std::string& name);  // nullptr: there is no such mutation

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_MUTATION_H_
