#include "tests/simulation/checkers.h"

#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace weft::simulation {
namespace {

// A norm that the coordinator computed in another order may differ in the last digits.
constexpr double kNormSlack = 1e-6;

}  // namespace

Checkers::Checkers(const Scenario& scenario) : scenario_(scenario) {
  PlainConsensus initial;
  initial.z = InitialVector(scenario.seed, scenario.elements);
  initial.momentum.assign(scenario.elements, 0.0f);
  initial.residual.assign(scenario.elements, 0.0f);
  initial.digest = DigestOf(*EncodeBlob(Encoding::kParametersFp32, initial.z, {}, ""));
  versions_.push_back(std::move(initial));
}

void Checkers::Violated(absl::string_view checker, std::string words) {
  if (!violated()) violation_ = {std::string(checker), std::move(words)};
}

void Checkers::Committed(const RoundState& state, const std::string& bytes,
                         absl::Span<const Effect> effects) {
  for (const Effect& effect : effects) {
    if (const auto* receipt = std::get_if<KeepReceipt>(&effect)) OnReceipt(receipt->receipt);
    const auto* record = std::get_if<Record>(&effect);
    if (record != nullptr && record->decision.code() == Decision::CONTRIBUTION_EXCLUDED) {
      if (record->decision.reason().empty()) {
        Violated("counts_once",
                 absl::StrCat(record->decision.site(), " is excluded without a reason"));
      }
      excluded_.insert({record->decision.site(), version_});
    }
    if (const auto* round = std::get_if<KeepRound>(&effect)) OnRound(state, round->record);
  }
  CheckNeverBack(state);
  CheckStored(state);
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

void Checkers::CheckStored(const RoundState& state) {
  std::string before;
  for (const StoredContribution& stored : state.current().contributions()) {
    if (stored.site() <= before) {
      Violated("one_contribution",
               absl::StrCat(stored.site(), " is stored twice in round ", state.current().round()));
    }
    before = stored.site();
    const auto receipt = receipts_.find({stored.site(), state.consensus().version()});
    if (receipt == receipts_.end() || receipt->second != stored.digest()) {
      Violated("receipts", absl::StrCat("what is stored of ", stored.site(), " for version ",
                                        state.consensus().version(), " has no receipt"));
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
  const auto sent = sent_.find({receipt.site(), receipt.digest()});
  if (sent == sent_.end()) {
    return Violated("admission", absl::StrCat(receipt.site(), " never sent what is stored of it"));
  }
  if (receipt.base_version() >= versions_.size()) {
    return Violated("admission", absl::StrCat("a receipt for version ", receipt.base_version(),
                                              ", which does not exist"));
  }
  const PlainConsensus& base = versions_[receipt.base_version()];
  const absl::StatusOr<Vector> x =
      DecodeBlob(scenario_.up, sent->second.blob, scenario_.elements, base.z, base.digest);
  double squares = 0;
  for (size_t i = 0; x.ok() && i < x->size(); ++i) squares += std::pow((*x)[i] - base.z[i], 2);
  const bool far =
      std::sqrt(squares) > scenario_.manifest.rounds().update_norm_max() * (1 + kNormSlack);
  const bool other_base = sent->second.contribution.base_digest() != base.digest;
  if (x.ok() && !far && !other_base) return;
  Violated("admission", absl::StrCat("the contribution of ", receipt.site(), " for version ",
                                     receipt.base_version(), " is stored although ",
                                     other_base ? "it is from another base"
                                     : far      ? absl::StrCat("its norm is ", std::sqrt(squares))
                                                : std::string(x.status().message())));
}

void Checkers::CheckCounted(const RoundRecord& record) {
  std::map<std::string, std::string> counted;
  for (const StoredContribution& c : record.contributions()) {
    const auto receipt = receipts_.find({c.site(), record.base_version()});
    if (receipt == receipts_.end() || receipt->second != c.digest() ||
        !counted.emplace(c.site(), c.digest()).second) {
      Violated("counts_once", absl::StrCat("round ", record.round(), " includes ", c.site(),
                                           " twice, or without a receipt"));
    }
  }
  for (const auto& [key, digest] : receipts_) {
    if (key.second != record.base_version() || counted.count(key.first) > 0) continue;
    if (excluded_.count(key) > 0) continue;
    Violated("counts_once",
             absl::StrCat("round ", record.round(), " has neither included nor excluded what ",
                          key.first, " has a receipt for"));
  }
}

void Checkers::OnRound(const RoundState& state, const RoundRecord& record) {
  CheckCounted(record);
  if (record.base_version() + 1 != versions_.size() ||
      state.consensus().version() != versions_.size()) {
    return Violated("never_back",
                    absl::StrCat("round ", record.round(), " goes from version ",
                                 record.base_version(), " to ", state.consensus().version()));
  }
  if (record.contributions_size() < static_cast<int>(scenario_.manifest.rounds().quorum())) {
    Violated("counts_once", absl::StrCat("round ", record.round(), " was closed with ",
                                         record.contributions_size(), " contributions"));
  }
  const PlainConsensus& base = versions_.back();
  std::vector<PlainContribution> contributions;
  for (const StoredContribution& c : record.contributions()) {
    const auto sent = sent_.find({c.site(), c.digest()});
    if (sent == sent_.end()) continue;  // said by CheckCounted and OnReceipt
    absl::StatusOr<Vector> x =
        DecodeBlob(scenario_.up, sent->second.blob, scenario_.elements, base.z, base.digest);
    if (!x.ok()) continue;
    double weight = 0;
    for (const MemberSite& member : scenario_.membership.sites()) {
      if (member.name() == c.site()) weight = member.weight();
    }
    contributions.push_back({weight, *std::move(x)});
  }
  if (contributions.empty()) return;
  PlainConsensus next = PlainOuterStep(scenario_, base, contributions);
  if (next.digest != state.consensus().digest() || next.digest != record.result_digest()) {
    Violated("recompute",
             absl::StrCat("the consensus of round ", record.round(), " is ",
                          ShortHex(state.consensus().digest()), ", plain loops over its ",
                          contributions.size(), " contributions give ", ShortHex(next.digest)));
  }
  versions_.push_back(std::move(next));
}

void Checkers::Loaded(const std::string& state) {
  if (!committed_.empty() && state != committed_) {
    Violated("durable_first", "the coordinator starts again from another state than the last");
  }
}

void Checkers::Told(const std::string& site, const RoundEvent& event) {
  const uint64_t version = event.context().base_version();
  if (event.round() != round_ || event.phase() != phase_ || version != version_ ||
      event.base_digest() != versions_[version_].digest) {
    return Violated("durable_first",
                    absl::StrCat(site, " is told of round ", event.round(), ", ",
                                 RoundEvent::Phase_Name(event.phase()), ", version ", version,
                                 "; what is durable says round ", round_, ", ",
                                 RoundEvent::Phase_Name(phase_), ", version ", version_));
  }
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
    sent_[{site, contribution.blob_digest()}] = {contribution, call.blob};
  }
  if (durable == nullptr) return;
  const std::string blob = absl::BytesToHexString(contribution.blob_digest());
  if (durable->contribution_blob() != blob || durable->stage() != GateState::PUSHING) {
    Violated("durable_first",
             absl::StrCat(site, " sends a contribution that it has not written down"));
  }
  const auto [found, is_new] =
      sent_for_base_.emplace(std::pair(site, contribution.base_digest()), blob);
  if (!is_new && found->second != blob) {
    Violated("one_contribution",
             absl::StrCat(site, " sends a second contribution for round ", contribution.round()));
  }
}

void Checkers::TrainingBegan(const std::string& site, const std::string& base_digest) {
  for (const PlainConsensus& version : versions_) {
    if (version.digest == base_digest) return;
  }
  Violated("trains_committed", absl::StrCat(site, " trains from ", ShortHex(base_digest),
                                            ", which is no committed consensus"));
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
