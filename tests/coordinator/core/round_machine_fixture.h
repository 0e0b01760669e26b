// A round machine of three sites, and the events that tests of it send.
#ifndef WEFT_TESTS_COORDINATOR_CORE_ROUND_MACHINE_FIXTURE_H_
#define WEFT_TESTS_COORDINATOR_CORE_ROUND_MACHINE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "coordinator/core/round_machine.h"
#include "coordinator/core/round_view.h"

namespace weft {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

inline RunManifest Manifest() {
  RunManifest manifest;
  manifest.set_protocol_version(1);
  manifest.set_run_id("demo");
  auto* rounds = manifest.mutable_rounds();
  rounds->set_round_count(2);
  rounds->set_inner_steps(10);
  rounds->set_quorum(2);
  rounds->set_sites_to_start(3);
  rounds->set_round_seconds_max(60);
  rounds->set_publish_every(2);
  return manifest;
}

inline Membership Members(uint64_t version = 1) {
  Membership membership;
  membership.set_run_id("demo");
  membership.set_version(version);
  for (const char* name : {"a", "b", "c", "d"}) membership.add_sites()->set_name(name);
  return membership;
}

inline ConsensusVersion Version(uint64_t number) {
  ConsensusVersion version;
  version.set_version(number);
  version.set_digest(std::string(32, static_cast<char>('0' + number)));
  return version;
}

// A run as a list of events; every step's effects are kept for the last question.
class RoundMachineTest : public ::testing::Test {
 protected:
  void Step(const Event& event) { effects_ = machine_.Step(event); }
  void Join(const std::string& site) { Step(SiteJoined{site, "session-" + site}); }
  void Watch(const std::string& site) { Step(SiteResumed{site, "session-" + site}); }
  void Contribute(const std::string& site, const std::string& digest = "x", uint64_t round = 0) {
    StoredContribution contribution;
    contribution.set_site(site);
    contribution.set_digest(digest);
    Step(ContributionArrived{round, contribution, "signed by " + site});
  }
  void OpenWithThree() {
    Step(TimeAdvanced{1000});
    for (const char* site : {"a", "b", "c"}) Join(site);
    for (const char* site : {"a", "b", "c"}) Watch(site);
  }
  void CloseRound(uint64_t round) {
    for (const char* site : {"a", "b", "c"}) Contribute(site, site, round);
  }

  template <typename T>
  std::optional<T> Find() const {
    for (const Effect& effect : effects_) {
      if (const T* found = std::get_if<T>(&effect)) return *found;
    }
    return std::nullopt;
  }
  std::vector<Decision::Code> Codes() const {
    std::vector<Decision::Code> codes;
    for (const Effect& effect : effects_) {
      if (const Record* record = std::get_if<Record>(&effect))
        codes.push_back(record->decision.code());
    }
    return codes;
  }
  RoundEvent::Phase phase() const { return machine_.state().phase(); }
  const RoundRecord& round() const { return machine_.state().current(); }

  RoundMachine machine_{Manifest(), RoundMachine::InitialState(Manifest(), Members(), Version(0))};
  std::vector<Effect> effects_;
};

}  // namespace weft

#endif  // WEFT_TESTS_COORDINATOR_CORE_ROUND_MACHINE_FIXTURE_H_
