#include "tests/simulation/feedback.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/simulation/vectors.h"

namespace weft::simulation {
namespace {

// What fp32 rounds in the few operations between two comparisons, of numbers of this size.
constexpr double kSlack = 2e-6;

bool Differ(double a, double b, double size) { return std::fabs(a - b) > kSlack * (1 + size); }

}  // namespace

Feedback::Feedback(const Scenario& scenario)
    : scenario_(scenario), initial_(InitialVector(scenario.seed, scenario.elements)) {
  const ConsensusScheme& scheme = scenario.manifest.consensus();
  const bool moves = scheme.mix_with() != "previous" && scheme.asynchrony() != "elastic";
  if (IsDelta(scenario.up) && moves && !scheme.dual()) kept_ = scheme.alpha();
}

void Feedback::Formed(const std::string& site, uint64_t base_version, const std::string& digest,
                      const Vector& x, const Vector& z, bool residual_lost) {
  Change change{.wanted = x, .residual_lost = residual_lost};
  for (size_t i = 0; i < x.size(); ++i) change.wanted[i] = x[i] - z[i];
  formed_[{site, base_version, digest}] = std::move(change);
}

void Feedback::Settled(const std::string& site, const GateState& state) {
  if (state.outcome_awaited()) return;
  const std::string digest = absl::HexStringToBytes(state.contribution_blob());
  settled_[site] = {site, state.contribution_version(), digest};
}

void Feedback::LeftOut(const std::string& site, uint64_t base_version, const std::string& digest) {
  decided_[{site, base_version, digest}] = false;
}

void Feedback::Included(const std::string& site, uint64_t base_version, const std::string& digest,
                        uint32_t fragment, const Vector& x, const Vector& z) {
  const Contribution which(site, base_version, digest);
  decided_[which] = true;
  if (scenario_.manifest.consensus().dual()) {
    std::vector<double>& counted = counted_[site];
    counted.resize(x.size());
    for (size_t i = 0; i < x.size(); ++i) counted[i] += double{x[i]} - double{z[i]};
  }
  const auto formed = formed_.find(which);
  if (kept_ == 0 || formed == formed_.end()) return;  // or of one that means harm
  Account& account = accounts_[{site, fragment}];
  account.owed.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double before = formed->second.residual_lost ? 0 : account.owed[i];
    const double counted = double{x[i]} - double{z[i]};
    account.owed[i] = kept_ * (before + double{formed->second.wanted[i]} - counted);
  }
}

// The site's state is of all that the coordinator has decided.
bool Feedback::IsDecided(const std::string& site, const GateState& state) {
  const ContributionOutcome& newest = newest_[site];
  const ContributionOutcome& known = state.decided();
  if (known.digest() != newest.digest() || known.base_version() != newest.base_version() ||
      known.included() != newest.included() || known.counted_in() != newest.counted_in()) {
    return false;
  }
  const auto settled = settled_.find(site);
  if (settled == settled_.end()) return true;
  const auto decided = decided_.find(settled->second);
  if (decided == decided_.end()) return false;
  if (!decided->second) {
    for (auto& [key, account] : accounts_) account.begins_anew |= key.first == site;
  }
  settled_.erase(settled);
  return true;
}

std::string Feedback::CheckResidual(const std::string& site, uint32_t fragment,
                                    const GateState& state) {
  const auto place = static_cast<int>(fragment);
  const std::string digest =
      place < state.residual_digests_size() ? state.residual_digests(place) : std::string();
  Account& account = accounts_[{site, fragment}];
  Vector has = vectors_[digest];
  has.resize(scenario_.range(fragment).size);
  account.owed.resize(has.size());
  std::string words;
  for (size_t i = 0; i < has.size(); ++i) {
    if (account.begins_anew || !Differ(has[i], account.owed[i], std::fabs(account.owed[i])))
      continue;
    words = absl::StrCat("element ", i, " of what encodings have lost of ", site, " is ", has[i],
                         "; what it wanted to send less what has counted is ", account.owed[i]);
  }
  account.begins_anew = false;
  account.owed.assign(has.begin(), has.end());
  return words;
}

std::string Feedback::CheckSent(const std::string& site, const GateState& state) const {
  const auto counted = counted_.find(site);
  const auto sent = vectors_.find(state.sent_digest());
  const Vector& has = sent == vectors_.end() ? initial_ : sent->second;
  for (size_t i = 0; i < has.size(); ++i) {
    const double wanted =
        double{initial_[i]} + (counted == counted_.end() ? 0 : counted->second[i]);
    // Every contribution rounds once more.
    const double slack = kSlack * static_cast<double>(1 + state.work_count());
    if (std::fabs(has[i] - wanted) <= slack * (1 + std::fabs(wanted))) continue;
    return absl::StrCat("element ", i, " of what ", site, " takes the coordinator to have is ",
                        has[i], "; what has counted of it makes ", wanted);
  }
  return "";
}

std::string Feedback::CheckGate(const std::string& site, const GateState& state) {
  const bool dual = scenario_.manifest.consensus().dual();
  if ((kept_ == 0 && !dual) || !IsDecided(site, state)) return "";
  if (dual) return CheckSent(site, state);
  std::string words;
  for (uint32_t f = 0; f < scenario_.fragments() && words.empty(); ++f) {
    words = CheckResidual(site, f, state);
  }
  return words;
}

std::string Feedback::CheckSum(const PlainConsensus& now, const Membership& membership) const {
  if (!scenario_.manifest.consensus().dual()) return "";
  double members = 0;
  for (const MemberSite& member : membership.sites()) {
    members += member.weight() > 0 ? member.weight() : 1;
  }
  for (size_t i = 0; i < initial_.size(); ++i) {
    double sum = initial_[i];
    for (const MemberSite& member : membership.sites()) {
      const auto counted = counted_.find(member.name());
      if (counted == counted_.end()) continue;
      sum += (member.weight() > 0 ? member.weight() : 1) / members * counted->second[i];
    }
    const double z = double{now.z[i]} + double{now.residual[i]};
    const double slack = 1e-7 * static_cast<double>(20 + decided_.size());
    if (std::fabs(z - sum) <= slack * (1 + std::fabs(sum))) continue;
    return absl::StrCat("element ", i, " of the consensus is ", z,
                        "; the sites' parts in what they sent sum to ", sum);
  }
  return "";
}

}  // namespace weft::simulation
