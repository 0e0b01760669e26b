// A site machine, the round events it is told, and looks into its effects.
#ifndef WEFT_TESTS_WORKER_CORE_SITE_MACHINE_FIXTURE_H_
#define WEFT_TESTS_WORKER_CORE_SITE_MACHINE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "worker/core/site_machine.h"

namespace weft::site {

using ::testing::HasSubstr;
using Effects = std::vector<SiteEffect>;

std::string Bytes(char c) { return std::string(32, c); }
std::string Hex(char c) { return absl::BytesToHexString(Bytes(c)); }

inline MessageContext Context(uint64_t epoch = 1, std::string session = "s1") {
  MessageContext context;
  context.set_protocol_version(1);
  context.set_run_id("demo");
  context.set_coordinator_epoch(epoch);
  context.set_session_id(session);
  context.set_fragment_count(1);
  return context;
}

inline RoundEvent At(RoundEvent::Phase phase, uint64_t round, char base) {
  RoundEvent event;
  *event.mutable_context() = Context();
  event.set_phase(phase);
  event.set_round(round);
  event.set_round_count(2);
  event.set_base_digest(Bytes(base));
  return event;
}
RoundEvent Open(uint64_t round, char base) { return At(RoundEvent::OPEN, round, base); }
// Opened in place of the round before, for the same work.
inline RoundEvent Reopened(uint64_t round, char base) {
  RoundEvent event = Open(round, base);
  event.set_reopened(1);
  return event;
}

inline RoundResult ResultOf(uint64_t round, char base) {
  RoundResult result;
  result.set_round(round);
  result.set_base_digest(Hex(base));
  result.set_vector_digest(Hex('v'));
  return result;
}

inline Refusal RefusalOf(Refusal::Code code) {
  Refusal refusal;
  refusal.set_code(code);
  refusal.set_reason("because");
  return refusal;
}

inline GateState Fresh() {
  GateState state;
  state.set_version(1);
  state.set_run_id("demo");
  state.set_site("north");
  state.set_coordinator_epoch(1);
  return state;
}

template <typename T>
const T* Only(const Effects& effects) {
  return effects.size() == 1 ? std::get_if<T>(&effects[0]) : nullptr;
}

template <typename T>
bool Has(const Effects& effects) {
  for (const SiteEffect& effect : effects) {
    if (std::holds_alternative<T>(effect)) return true;
  }
  return false;
}

inline std::string FailReason(const Effects& effects) {
  for (const SiteEffect& effect : effects) {
    if (const Fail* fail = std::get_if<Fail>(&effect)) return fail->reason;
  }
  return "no failure";
}

class SiteMachineTest : public ::testing::Test {
 protected:
  // Takes the machine through a round up to, and not including, `stage`.
  void Reach(GateState::Stage stage, uint64_t round = 0, char base = 'a') {
    machine_.Step(Joined{Context(), Open(round, base)});
    if (stage >= GateState::TRAINING) machine_.Step(BaseFetched{Hex(base)});
    if (stage >= GateState::FORMING) machine_.Step(ResultSeen{ResultOf(round, base)});
    if (stage >= GateState::PUSHING) machine_.Step(ContributionFormed{Hex('c'), 10});
    if (stage >= GateState::REPORTING) machine_.Step(ContributionStored{Hex('c')});
    if (stage >= GateState::DONE) machine_.Step(Reported{});
    ASSERT_EQ(machine_.state().stage(), stage);
  }
  // What a gate does that is killed and started again.
  void Restart() { machine_ = SiteMachine(machine_.state(), SiteLimits{}); }

  SiteMachine machine_{Fresh(), SiteLimits{.silence_ms_max = 60000}};
};

}  // namespace weft::site

#endif  // WEFT_TESTS_WORKER_CORE_SITE_MACHINE_FIXTURE_H_
