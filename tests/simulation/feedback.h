// What each site is owed: an account of what it wanted to send and of what the coordinator has
// counted of that, kept by one who sees both, against what the site's own state says.
//
//   error feedback   residual' = kept (residual + (x - z) - counted), for every included
//                    contribution, once, and for no other
//   duals            sent = z_0 + the sum of what was counted of the site, and at the coordinator
//                    z = z_0 + sum_k p_k (sent_k - z_0), within what fp32 rounds
//
// Where the machine says that something is lost (a contribution that a site took to count, because
// it had heard nothing of it, and that was left out after all), the account is begun anew from what
// the site has. Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_FEEDBACK_H_
#define WEFT_TESTS_SIMULATION_FEEDBACK_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/simulation/recompute.h"
#include "worker/core/gate_state.pb.h"

namespace weft::simulation {

class Feedback {
 public:
  explicit Feedback(const Scenario& scenario);

  // The sites.
  void Keeps(const std::string& digest, const Vector& x) { vectors_[digest] = x; }  // hex
  void Formed(const std::string& site, uint64_t base_version, const std::string& digest,
              const Vector& x, const Vector& z, bool residual_lost);
  // The contribution formed last is taken to count, or not: nothing was heard of it.
  void Settled(const std::string& site, const GateState& state);

  // The coordinator; digests in bytes.
  void Included(const std::string& site, uint64_t base_version, const std::string& digest,
                uint32_t fragment, const Vector& x, const Vector& z);
  void LeftOut(const std::string& site, uint64_t base_version, const std::string& digest);
  void Told(const std::string& site, const ContributionOutcome& newest) { newest_[site] = newest; }

  // What is wrong, in words; empty: nothing.
  std::string CheckGate(const std::string& site, const GateState& state);
  std::string CheckSum(const PlainConsensus& now, const Membership& membership) const;

 private:
  using Contribution = std::tuple<std::string, uint64_t, std::string>;
  struct Change {
    Vector wanted;  // x - z
    bool residual_lost = false;
  };
  struct Account {
    std::vector<double> owed;
    bool begins_anew = false;
  };
  bool IsDecided(const std::string& site, const GateState& state);
  std::string CheckResidual(const std::string& site, uint32_t fragment, const GateState& state);
  std::string CheckSent(const std::string& site, const GateState& state) const;

  const Scenario& scenario_;
  const Vector initial_;
  double kept_ = 0;  // of what encoding loses
  std::map<std::string, Vector> vectors_;
  std::map<Contribution, Change> formed_;
  std::map<Contribution, bool> decided_;         // whether it was included
  std::map<std::string, Contribution> settled_;  // of each site, not known to be decided
  std::map<std::string, ContributionOutcome> newest_;
  std::map<std::pair<std::string, uint32_t>, Account> accounts_;  // by site and fragment
  std::map<std::string, std::vector<double>> counted_;            // with duals, by site
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_FEEDBACK_H_
