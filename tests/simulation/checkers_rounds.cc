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
    if (BelowFloor(c.site(), c.digest())) {
      Violated("quality_floor", absl::StrCat("round ", record.round(), " counts ", c.site(),
                                             ", whose loss on its own text rose"));
    }
    fresh += c.base_version() == record.base_version();
  }
  if (IsAsynchronous(scenario_.manifest.consensus())) return CountTurn(record);
  if (fresh < scenario_.manifest.rounds().quorum()) {
    Violated("counts_once",
             absl::StrCat("round ", record.round(), " was closed with ", fresh, " contributions"));
  }
}

// Without a barrier every contribution has a round of its own, in the order in which they came.
void Checkers::CountTurn(const RoundRecord& record) {
  if (record.contributions_size() == 0) return;  // then nothing comes of it, which is seen
  const StoredContribution& c = record.contributions(0);
  const SiteAndVersion key(c.site(), c.base_version());
  if (record.contributions_size() == 1 && !arrivals_.empty() && arrivals_.front() == key) {
    arrivals_.erase(arrivals_.begin());
    return;
  }
  Violated("counts_once",
           absl::StrCat("round ", record.round(), " is of ", record.contributions_size(),
                        " contributions, the first of ", c.site(), "; the turn was that of ",
                        arrivals_.empty() ? "nobody" : arrivals_.front().first));
}

PlainConsensus Checkers::Recompute(const RoundRecord& record) {
  const PlainConsensus& base = versions_[record.base_version()];
  const bool elastic = scenario_.manifest.consensus().asynchrony() == "elastic";
  const bool delta = IsDelta(scenario_.up);
  std::vector<PlainContribution> contributions;
  for (const StoredContribution& c : record.contributions()) {
    const PlainConsensus* old = FindBase(c.base_version(), c.base_digest());
    if (old == nullptr) continue;  // said already
    const auto sent = sent_.find({c.site(), c.digest(), old->digest});
    if (sent == sent_.end()) continue;
    // An encoded change is taken from the base of today, a whole vector is moved to it; but with
    // elastic rounds a vector is what it was at its site.
    absl::StatusOr<Vector> x =
        DecodeBlob(scenario_.up, sent->second, base.z.size(), elastic ? old->z : base.z,
                   old->digest, scenario_.part(base.fragment));
    if (!x.ok()) continue;
    const bool moved = !delta && !elastic && old->digest != base.digest;
    for (size_t i = 0; moved && i < x->size(); ++i) {
      (*x)[i] = static_cast<float>(double{base.z[i]} + (double{(*x)[i]} - double{old->z[i]}));
    }
    PlainContribution plain{.site = c.site(),
                            .token_count = c.token_count(),
                            .inner_steps = c.inner_steps(),
                            .x = *std::move(x)};
    for (const MemberSite& member : scenario_.membership.sites()) {
      if (member.name() == c.site() && member.weight() > 0) plain.weight = member.weight();
    }
    if (c.base_version() < record.base_version()) {
      plain.staleness = record.base_version() - c.base_version();
    }
    contributions.push_back(std::move(plain));
  }
  double members = 0;
  for (const MemberSite& member : closing_.sites()) {
    members += member.weight() > 0 ? member.weight() : 1;
  }
  if (contributions.empty()) return base;
  return PlainOuterStep(scenario_, base, contributions, members);
}

// Of a round whose consensus is used: what has counted.
void Checkers::Tell(const RoundRecord& record) {
  const bool elastic = scenario_.manifest.consensus().asynchrony() == "elastic";
  for (const StoredContribution& c : record.contributions()) {
    if (elastic) met_[c.site()] = record.base_version();
    if (record.refused()) {
      feedback_.LeftOut(c.site(), c.base_version(), c.digest());
      continue;
    }
    const PlainConsensus* old = FindBase(c.base_version(), c.base_digest());
    if (old == nullptr) continue;
    const auto sent = sent_.find({c.site(), c.digest(), old->digest});
    if (sent == sent_.end()) continue;
    const auto x = DecodeBlob(scenario_.up, sent->second, old->z.size(), old->z, old->digest,
                              scenario_.part(old->fragment));
    if (!x.ok()) continue;
    feedback_.Included(c.site(), c.base_version(), c.digest(), old->fragment, *x, old->z);
  }
}

// What sites are told of their newest decided contributions. One that was left out met no version.
void Checkers::NoteOutcomes(const RoundState& state) {
  for (const SiteOutcome& known : state.outcomes()) {
    feedback_.Told(known.site(), known.outcome());
    if (!known.outcome().included()) met_.erase(known.site());
  }
}

// The version that follows, and the round's next base: with fragments, the next of them in turn.
void Checkers::TakeVersion(PlainConsensus next) {
  const uint32_t turn = (next.fragment + 1) % scenario_.fragments();
  fragments_[next.fragment] = std::move(next);
  versions_.push_back(fragments_[turn]);
  cuts_.emplace_back();
  for (const PlainConsensus& part : fragments_) cuts_.back().push_back(part.digest);
}

// A version with the bytes of an older one: of its own base, or of one that was found good.
void Checkers::GoBack(const RoundRecord& following) {
  const uint64_t version = following.base_version();
  if (version != versions_.size()) {
    return Violated("never_back",
                    absl::StrCat("version ", version, " follows version ", versions_.size() - 1));
  }
  const std::string& digest = following.base_digest();
  const uint32_t turn = (versions_[version_].fragment + 1) % scenario_.fragments();
  if (scenario_.fragments() > 1 && digest == fragments_[turn].digest) {
    return TakeVersion(versions_[version_]);
  }
  if (digest == versions_[version_].digest) return TakeVersion(versions_[version_]);
  for (const uint64_t good : accepted_) {
    if (good < versions_.size() && versions_[good].digest == digest) {
      return TakeVersion(versions_[good]);
    }
  }
  Violated("recompute", absl::StrCat("version ", version, " is of a version that was never good"));
}

void Checkers::OnRound(const RoundRecord& record, const RoundRecord& following) {
  if (record.base_version() != version_ || record.round() != round_) {
    return Violated("never_back", absl::StrCat("round ", record.round(), " ends from version ",
                                               record.base_version(), "; open was round ", round_,
                                               " from version ", version_));
  }
  if (record.abandoned()) {
    if (following.base_version() != version_) GoBack(following);
  } else {
    OnConsensus(record, following);
  }
  round_ = following.round();
  version_ = following.base_version();
}

void Checkers::OnConsensus(const RoundRecord& record, const RoundRecord& following) {
  Count(record);
  if (violated()) return;
  PlainConsensus next = Recompute(record);
  if (next.digest != record.result_digest() || record.fragment() != next.fragment) {
    return Violated(
        "recompute",
        absl::StrCat("the consensus of round ", record.round(), ", fragment ", record.fragment(),
                     ", is ", ShortHex(record.result_digest()), ", plain loops over its ",
                     record.contributions_size(), " contributions give ", ShortHex(next.digest),
                     " of fragment ", next.fragment));
  }
  Tell(record);
  const std::string words = feedback_.CheckSum(next, closing_);
  if (!words.empty()) Violated("feedback", words);
  TakeVersion(std::move(next));
  if (!record.refused()) return;
  refused_.insert(versions_.size() - 1);
  GoBack(following);
}

}  // namespace weft::simulation
