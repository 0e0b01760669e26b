// What the checkers have to say of a round that has ended: whom it counted, and what came of it.
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/checkers.h"

namespace weft::simulation {

void Checkers::Count(const RoundRecord& record) {
  uint32_t fresh = 0;
  for (const StoredContribution& c : record.contributions()) {
    const SiteAndVersion key(c.site(), c.base_version());
    const auto receipt = receipts_.find(key);
    const bool known = receipt != receipts_.end() && receipt->second == c.digest();
    if (!known || waiting_.erase(key) == 0) {
      Violated("counts_once",
               absl::StrCat("round ", record.round(), " includes ", c.site(), " (version ",
                            c.base_version(), ") twice, or without a receipt"));
    }
    fresh += c.base_version() == record.base_version();
  }
  if (fresh < scenario_.manifest.rounds().quorum()) {
    Violated("counts_once",
             absl::StrCat("round ", record.round(), " was closed with ", fresh, " contributions"));
  }
}

PlainConsensus Checkers::Recompute(const RoundRecord& record) {
  const PlainConsensus& base = versions_[record.base_version()];
  const RoundRules& rules = scenario_.manifest.rounds();
  std::vector<PlainContribution> contributions;
  for (const StoredContribution& c : record.contributions()) {
    if (c.base_version() > record.base_version()) continue;  // said already
    // An encoded change is taken from the base of today, a whole vector is moved to it.
    const PlainConsensus& old = versions_[c.base_version()];
    const auto sent = sent_.find({c.site(), c.digest(), old.digest});
    if (sent == sent_.end()) continue;
    const bool delta = IsDelta(scenario_.up);
    absl::StatusOr<Vector> x =
        DecodeBlob(scenario_.up, sent->second, scenario_.elements, base.z, old.digest);
    if (!x.ok()) continue;
    for (size_t i = 0; !delta && old.digest != base.digest && i < x->size(); ++i) {
      (*x)[i] = static_cast<float>(double{base.z[i]} + (double{(*x)[i]} - double{old.z[i]}));
    }
    double weight = 1;
    for (const MemberSite& member : scenario_.membership.sites()) {
      if (member.name() == c.site() && member.weight() > 0) weight = member.weight();
    }
    const auto staleness = static_cast<double>(record.base_version() - c.base_version());
    contributions.push_back(
        {weight / std::pow(1 + staleness, rules.late_discount()), c.inner_steps(), *std::move(x)});
  }
  if (contributions.empty()) return base;
  return PlainOuterStep(scenario_, base, std::move(contributions));
}

// A version with the bytes of an older one: of its own base, or of one that was found good.
void Checkers::GoBack(const RoundState& state) {
  const uint64_t version = state.consensus().version();
  if (version != versions_.size()) {
    return Violated("never_back",
                    absl::StrCat("version ", version, " follows version ", versions_.size() - 1));
  }
  const std::string& digest = state.consensus().digest();
  if (digest == versions_[version_].digest) return versions_.push_back(versions_[version_]);
  for (const uint64_t good : accepted_) {
    if (good < versions_.size() && versions_[good].digest == digest) {
      return versions_.push_back(versions_[good]);
    }
  }
  Violated("recompute", absl::StrCat("version ", version, " is of a version that was never good"));
}

void Checkers::OnRound(const RoundState& state, const RoundRecord& record) {
  if (record.base_version() != version_ || record.round() != round_) {
    return Violated("never_back", absl::StrCat("round ", record.round(), " ends from version ",
                                               record.base_version(), "; open was round ", round_,
                                               " from version ", version_));
  }
  if (record.abandoned()) {
    if (state.consensus().version() != version_) GoBack(state);
    return;
  }
  Count(record);
  if (violated()) return;
  versions_.push_back(Recompute(record));
  if (versions_.back().digest != record.result_digest()) {
    return Violated("recompute",
                    absl::StrCat("the consensus of round ", record.round(), " is ",
                                 ShortHex(record.result_digest()), ", plain loops over its ",
                                 record.contributions_size(), " contributions give ",
                                 ShortHex(versions_.back().digest)));
  }
  if (!record.refused()) return;
  refused_.insert(versions_.size() - 1);
  GoBack(state);
}

}  // namespace weft::simulation
