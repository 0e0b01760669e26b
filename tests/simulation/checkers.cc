#include "tests/simulation/checkers.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace weft::simulation {
namespace {

// A norm that the coordinator computed in another order may differ in the last digits.
constexpr double kNormSlack = 1e-6;

}  // namespace

Checkers::Checkers(const Scenario& scenario) : scenario_(scenario), feedback_(scenario) {
  const Vector whole = InitialVector(scenario.seed, scenario.elements);
  const double tau = scenario.manifest.consensus().outer().tau();
  cuts_.emplace_back();
  for (uint32_t f = 0; f < scenario.fragments(); ++f) {
    const FragmentRange range = scenario.range(f);
    PlainConsensus initial;
    const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(range.begin);
    initial.z.assign(begin, begin + static_cast<std::ptrdiff_t>(range.size));
    initial.momentum.assign(range.size, 0.0f);
    initial.second_moment.assign(range.size, static_cast<float>(tau * tau));
    initial.residual.assign(range.size, 0.0f);
    initial.fragment = f;
    initial.digest = DigestOf(PlainBlob(initial.z, scenario.part(f)));
    cuts_.back().push_back(initial.digest);
    fragments_.push_back(std::move(initial));
  }
  versions_.push_back(fragments_.front());
}

void Checkers::Violated(absl::string_view checker, std::string words) {
  if (!violated()) violation_ = {std::string(checker), std::move(words)};
}

void Checkers::Committed(const RoundState& state, const std::string& bytes,
                         absl::Span<const Effect> effects) {
  std::vector<const RoundRecord*> ended;
  for (const Effect& effect : effects) {
    if (const auto* receipt = std::get_if<KeepReceipt>(&effect)) OnReceipt(receipt->receipt);
    const auto* record = std::get_if<Record>(&effect);
    if (record != nullptr && record->decision.code() == Decision::CONTRIBUTION_EXCLUDED) {
      OnExcluded(record->decision);
    }
    if (const auto* round = std::get_if<KeepRound>(&effect)) ended.push_back(&round->record);
  }
  // More than one at once where the turns of several contributions come to nothing.
  for (size_t i = 0; i < ended.size() && !violated(); ++i) {
    OnRound(*ended[i], i + 1 < ended.size() ? *ended[i + 1] : state.current());
  }
  if (state.phase() == RoundEvent::AGGREGATING && closing_round_ != state.current().round()) {
    closing_round_ = state.current().round();
    closing_ = state.membership();
  }
  NoteOutcomes(state);
  CheckNeverBack(state);
  CheckStored(state);
  CheckNothingIsLost(state);
  committed_ = bytes;
  epoch_ = state.coordinator_epoch();
  round_ = state.current().round();
  version_ = state.consensus().version();
  phase_ = state.phase();
}

void Checkers::CheckNeverBack(const RoundState& state) {
  if (state.coordinator_epoch() < epoch_ || state.current().round() < round_ ||
      state.consensus().version() < version_ || state.current().round() > round_ + 1) {
    Violated(
        "never_back",
        absl::StrCat("the coordinator goes from epoch ", epoch_, ", round ", round_, ", version ",
                     version_, " to epoch ", state.coordinator_epoch(), ", round ",
                     state.current().round(), ", version ", state.consensus().version()));
  }
  const uint64_t version = state.consensus().version();
  if (version >= versions_.size() || versions_[version].digest != state.consensus().digest()) {
    Violated("recompute", absl::StrCat("version ", version, " was never computed from a round"));
  }
}

uint32_t Checkers::MostSteps() const {
  const RoundRules& rules = scenario_.manifest.rounds();
  uint32_t most = rules.inner_steps();
  for (const auto& phase : rules.inner_steps_schedule()) most = std::max(most, phase.inner_steps());
  return most;
}

void Checkers::CheckStored(const RoundState& state) {
  std::set<SiteAndVersion> seen;
  const auto check = [&](const StoredContribution& stored) {
    const SiteAndVersion key(stored.site(), stored.base_version());
    if (!seen.insert(key).second) {
      Violated("one_contribution",
               absl::StrCat(stored.site(), " is stored twice for version ", stored.base_version()));
    }
    const auto receipt = receipts_.find(key);
    if (receipt == receipts_.end() || receipt->second != stored.digest()) {
      Violated("receipts", absl::StrCat("what is stored of ", stored.site(), " for version ",
                                        stored.base_version(), " has no receipt"));
    }
    const InnerTraining& training = scenario_.manifest.training();
    const uint64_t tokens = uint64_t{stored.inner_steps()} * training.batch_size();
    if (stored.inner_steps() > MostSteps() || stored.token_count() > tokens) {
      Violated("admission",
               absl::StrCat("what is stored of ", stored.site(), " is of ", stored.inner_steps(),
                            " steps and ", stored.token_count(), " tokens"));
    }
  };
  for (const StoredContribution& stored : state.current().contributions()) check(stored);
  for (const StoredContribution& stored : state.carried()) check(stored);
}

void Checkers::CheckNothingIsLost(const RoundState& state) {
  if (waiting_.empty()) return;
  std::set<SiteAndVersion> there;
  for (const StoredContribution& c : state.current().contributions()) {
    there.insert({c.site(), c.base_version()});
  }
  for (const ExcludedContribution& c : state.current().excluded()) {
    there.insert({c.contribution().site(), c.contribution().base_version()});
  }
  if (state.phase() != RoundEvent::FINISHED) {
    for (const StoredContribution& c : state.carried()) there.insert({c.site(), c.base_version()});
  }
  for (const SiteAndVersion& key : waiting_) {
    if (there.count(key) > 0) continue;
    Violated("counts_once", absl::StrCat("in round ", state.current().round(), ", ",
                                         RoundEvent::Phase_Name(state.phase()), ", what ",
                                         key.first, " has a receipt for (version ", key.second,
                                         ") is neither included nor excluded, and does not wait"));
  }
}

bool Checkers::BelowFloor(const std::string& site, const std::string& digest) const {
  const double rise_max = scenario_.manifest.consensus().influence().validation_rise_max();
  const auto rise = rises_.find({site, digest});
  return rise_max > 0 && rise != rises_.end() && rise->second > rise_max;
}

void Checkers::OnExcluded(const Decision& decision) {
  if (decision.reason().empty()) {
    Violated("counts_once", absl::StrCat(decision.site(), " is excluded without a reason"));
  }
  if (absl::StrContains(decision.reason(), "loss on its own held-out text") &&
      !BelowFloor(decision.site(), decision.digest())) {
    Violated("quality_floor", absl::StrCat(decision.site(), " declared no such loss"));
  }
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (at->first == decision.site() && receipts_[*at] == decision.digest()) {
      excluded_.insert(*at);
      feedback_.LeftOut(at->first, at->second, decision.digest());
      arrivals_.erase(std::remove(arrivals_.begin(), arrivals_.end(), *at), arrivals_.end());
      at = waiting_.erase(at);
    } else {
      ++at;
    }
  }
}

void Checkers::OnReceipt(const Receipt& receipt) {
  const auto [found, is_new] =
      receipts_.emplace(SiteAndVersion(receipt.site(), receipt.base_version()), receipt.digest());
  if (!is_new && found->second != receipt.digest()) {
    Violated("one_contribution", absl::StrCat("two contributions of ", receipt.site(),
                                              " for version ", receipt.base_version(), " count"));
  }
  if (is_new) {
    waiting_.insert(found->first);
    arrivals_.push_back(found->first);
  }
  const PlainConsensus* base = nullptr;
  const std::string* blob = nullptr;
  for (uint64_t v = receipt.base_version(); v + 1 >= receipt.base_version() && v < versions_.size();
       --v) {
    const auto sent = sent_.find({receipt.site(), receipt.digest(), versions_[v].digest});
    if (sent == sent_.end() || FindBase(receipt.base_version(), versions_[v].digest) == nullptr) {
      continue;
    }
    base = &versions_[v];
    blob = &sent->second;
    break;
  }
  if (blob == nullptr) {
    return Violated("admission", absl::StrCat("what is stored of ", receipt.site(),
                                              " was never sent as a contribution from version ",
                                              receipt.base_version()));
  }
  const Vector& z = base->z;
  const absl::StatusOr<Vector> x =
      DecodeBlob(scenario_.up, *blob, z.size(), z, base->digest, scenario_.part(base->fragment));
  double squares = 0;
  for (size_t i = 0; x.ok() && i < x->size(); ++i) squares += std::pow((*x)[i] - z[i], 2);
  const bool far =
      std::sqrt(squares) > scenario_.manifest.rounds().update_norm_max() * (1 + kNormSlack);
  if (x.ok() && !far) return;
  Violated("admission", absl::StrCat("the contribution of ", receipt.site(), " for version ",
                                     receipt.base_version(), " is stored although ",
                                     far ? absl::StrCat("its norm is ", std::sqrt(squares))
                                         : std::string(x.status().message())));
}

void Checkers::Loaded(const std::string& state) {
  if (!committed_.empty() && state != committed_) {
    Violated("durable_first", "the coordinator starts again from another state than the last");
  }
}

void Checkers::Told(const std::string& site, const RoundEvent& event) {
  const uint64_t version = event.context().base_version();
  if (event.round() != round_ || event.phase() != phase_ || version > version_) {
    return Violated("durable_first",
                    absl::StrCat(site, " is told of round ", event.round(), ", ",
                                 RoundEvent::Phase_Name(event.phase()), ", version ", version,
                                 "; what is durable says round ", round_, ", ",
                                 RoundEvent::Phase_Name(phase_), ", version ", version_));
  }
  CheckBaseTold(site, event);
  if (event.phase() != RoundEvent::OPEN || event.contribution_stored()) return;
  const SiteAndVersion key(site, version);
  if (receipts_.count(key) > 0 && excluded_.count(key) == 0) {
    Violated("receipts", absl::StrCat(site, " is asked again for its contribution to round ",
                                      event.round(), ", which is stored"));
  }
}

void Checkers::Answered(const PushCall& call, const PushReply& reply) {
  if (!reply.stored()) return;
  const auto receipt =
      receipts_.find({call.contribution.site(), call.contribution.context().base_version()});
  if (receipt == receipts_.end() || receipt->second != reply.receipt_digest()) {
    Violated("receipts", absl::StrCat(call.contribution.site(),
                                      " gets a receipt that is not durable, for round ",
                                      call.contribution.round()));
  }
}

void Checkers::Sent(const std::string& site, const PushCall& call, const GateState* durable) {
  const Contribution& contribution = call.contribution;
  // Other bytes than were signed are nobody's contribution.
  if (DigestOf(call.blob) == contribution.blob_digest()) {
    sent_[{site, contribution.blob_digest(), contribution.base_digest()}] = call.blob;
    rises_[{site, contribution.blob_digest()}] =
        contribution.validation_after() - contribution.validation_before();
  }
  if (durable == nullptr) return;
  const std::string blob = absl::BytesToHexString(contribution.blob_digest());
  if (durable->contribution_blob() != blob || durable->stage() != GateState::PUSHING) {
    Violated("durable_first",
             absl::StrCat(site, " sends a contribution that it has not written down"));
  }
  const auto [found, is_new] =
      sent_for_base_.emplace(SiteAndVersion(site, contribution.context().base_version()), blob);
  // What was lost on its disk cannot be sent again.
  if (!is_new && lost_.count({site, found->second}) > 0) found->second = blob;
  if (!is_new && found->second != blob) {
    Violated("one_contribution",
             absl::StrCat(site, " sends a second contribution for round ", contribution.round()));
  }
}

void Checkers::GateCommitted(const std::string& site, const GateState& state) {
  auto& [epoch, round] = gates_[site];
  if (state.coordinator_epoch() < epoch || state.round().round() < round) {
    Violated("never_back", absl::StrCat("the gate of ", site, " goes from epoch ", epoch,
                                        ", round ", round, " to epoch ", state.coordinator_epoch(),
                                        ", round ", state.round().round()));
  }
  epoch = state.coordinator_epoch();
  round = state.round().round();
  const std::string words = feedback_.CheckGate(site, state);
  if (!words.empty()) Violated("feedback", words);
}

void Checkers::GateEnded(const std::string& site, const std::string& reason, bool finished) {
  if (finished) {
    if (phase_ != RoundEvent::FINISHED) {
      Violated("site_ends", absl::StrCat(site, " has finished before the run"));
    }
    return;
  }
  // Another join of the same site overtook it; a file of its own was damaged; its worker died.
  static constexpr absl::string_view kExplained[] = {"SESSION_REPLACED",
                                                     "disk: ", "the worker is gone"};
  for (const absl::string_view start : kExplained) {
    if (absl::StartsWith(reason, start)) return;
  }
  const bool out =
      absl::StrContains(reason, "REVOKED") || absl::StrContains(reason, "NOT_A_MEMBER");
  if (out && revoked_.count(site) > 0) return;
  Violated("site_ends", absl::StrCat("the gate of ", site, " ended: ", reason));
}

}  // namespace weft::simulation
