// The rules that several events share: when a round opens, closes, is extended; what a release
// waits for.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/influence.h"
#include "coordinator/core/round_machine.h"
#include "proto/check.h"

namespace weft {
namespace {

// A site that is refused again and again cannot fill the disk with our records of it.
constexpr int kRecordedRefusalsMax = 64;

}  // namespace

void RoundMachine::Enter(RoundEvent::Phase phase, Decision::Code code, std::string reason) {
  state_.set_phase(phase);
  state_.set_reason(reason);
  Decide(code, std::move(reason));
  effects_.push_back(Announce{});
}

void RoundMachine::OpenOrWait() {
  if (state_.phase() != RoundEvent::FORMING) return;
  const uint64_t round = state_.current().round();
  const uint32_t wanted =
      round == 0 ? manifest_.rounds().sites_to_start() : manifest_.rounds().quorum();
  const auto here =
      static_cast<uint32_t>(std::count_if(state_.sites().begin(), state_.sites().end(),
                                          [](const SiteState& site) { return site.active(); }));
  if (here >= wanted) return Open();
  std::string reason =
      absl::StrCat("round ", round, " waits for ", wanted, " sites: ", here, " joined");
  if (reason != state_.reason()) Enter(RoundEvent::FORMING, Decision::ROUND_WAITS, reason);
}

void RoundMachine::Open() {
  RoundRecord* round = state_.mutable_current();
  for (const SiteState& site : state_.sites()) {
    if (site.active()) round->add_cohort(site.name());
  }
  round->set_opened_unix_ms(state_.now_unix_ms());
  state_.set_deadline_unix_ms(state_.now_unix_ms() +
                              int64_t{1000} * manifest_.rounds().round_seconds_max());
  Enter(
      RoundEvent::OPEN, Decision::ROUND_OPENED,
      absl::StrCat("round ", round->round(), " is open for ", absl::StrJoin(round->cohort(), ", "),
                   " from consensus version ", round->base_version()));
}

void RoundMachine::CloseIfComplete() {
  if (state_.phase() != RoundEvent::OPEN) return;
  const RoundRecord& round = state_.current();
  if (round.cohort().empty() && round.contributions().empty()) {
    // All who were invited left: whoever comes next opens the round anew, and need not wait for its
    // deadline.
    state_.set_phase(RoundEvent::FORMING);
    state_.set_deadline_unix_ms(0);
    return OpenOrWait();
  }
  for (const std::string& site : round.cohort()) {
    if (FindStored(state_, site) == nullptr) return;
  }
  const auto stored = static_cast<uint32_t>(round.contributions_size());
  if (stored >= manifest_.rounds().quorum()) Close("the whole cohort has contributed");
}

void RoundMachine::CloseOrExtendAtDeadline() {
  if (state_.phase() != RoundEvent::OPEN || state_.now_unix_ms() < state_.deadline_unix_ms())
    return;
  RoundRecord* round = state_.mutable_current();
  const auto stored = static_cast<uint32_t>(round->contributions_size());
  const uint32_t quorum = manifest_.rounds().quorum();
  const std::string count =
      absl::StrCat(stored, " of ", round->cohort_size(), " contributed, the quorum is ", quorum);
  if (stored >= quorum) return Close(absl::StrCat("deadline: ", count));

  // Who came meanwhile takes part in the extension: the sites first invited may be gone for good.
  for (const SiteState& site : state_.sites()) {
    if (site.active() && std::find(round->cohort().begin(), round->cohort().end(), site.name()) ==
                             round->cohort().end()) {
      round->add_cohort(site.name());
    }
  }
  std::sort(round->mutable_cohort()->begin(), round->mutable_cohort()->end());
  round->set_extensions(round->extensions() + 1);
  state_.set_deadline_unix_ms(state_.now_unix_ms() +
                              int64_t{1000} * manifest_.rounds().round_seconds_max());
  Enter(RoundEvent::OPEN, Decision::ROUND_EXTENDED,
        absl::StrCat("round ", round->round(), " is extended (", round->extensions(),
                     " times so far): at its deadline ", count));
}

void RoundMachine::Close(std::string reason) {
  RoundRecord* round = state_.mutable_current();
  std::vector<double> weights;
  for (const StoredContribution& stored : round->contributions()) {
    weights.push_back(FindMember(state_, stored.site())->weight());
  }
  const absl::StatusOr<std::vector<double>> normalized = NormalizedWeights(weights);
  WEFT_CHECK(normalized.ok());  // the membership was checked when it was taken
  for (int k = 0; k < round->contributions_size(); ++k) {
    round->mutable_contributions(k)->set_weight((*normalized)[k]);
  }
  // A site that is silent and gone is not waited for again until it comes back.
  for (SiteState& site : *state_.mutable_sites()) {
    const bool invited = std::find(round->cohort().begin(), round->cohort().end(), site.name()) !=
                         round->cohort().end();
    if (!invited || site.connected() || FindStored(state_, site.name()) != nullptr) continue;
    site.set_active(false);
    Decide(Decision::SITE_SILENT,
           "missed the round and has no watch open: not invited until it returns", site.name());
  }
  round->set_closed_unix_ms(state_.now_unix_ms());
  round->set_closed_reason(reason);
  state_.set_deadline_unix_ms(0);
  Enter(RoundEvent::AGGREGATING, Decision::ROUND_CLOSED,
        absl::StrCat("round ", round->round(), " is closed: ", reason));
  effects_.push_back(RunOuterStep{state_.current(), state_.consensus()});
}

void RoundMachine::StartDueReleases() {
  for (PendingRelease& release : *state_.mutable_releases()) {
    if (release.started()) continue;
    if (release.awaited_size() > 0 && state_.now_unix_ms() < release.wait_until_unix_ms()) continue;
    release.set_started(true);
    effects_.push_back(PublishRelease{release.version(), release.digest()});
  }
}

void RoundMachine::FinishIfPublished() {
  if (state_.phase() != RoundEvent::AGGREGATING || !state_.releases().empty() ||
      state_.current().round() < manifest_.rounds().round_count()) {
    return;
  }
  Enter(RoundEvent::FINISHED, Decision::RUN_FINISHED, "all rounds are done and published");
}

void RoundMachine::RemoveSite(absl::string_view site) {
  auto* sites = state_.mutable_sites();
  sites->erase(std::remove_if(sites->begin(), sites->end(),
                              [site](const SiteState& s) { return s.name() == site; }),
               sites->end());
  // What it stored counts; if it stored nothing, nobody waits for it.
  if (state_.phase() != RoundEvent::OPEN || FindStored(state_, site) != nullptr) return;
  auto* cohort = state_.mutable_current()->mutable_cohort();
  cohort->erase(std::remove(cohort->begin(), cohort->end(), site), cohort->end());
}

SiteState* RoundMachine::FindSite(absl::string_view site) {
  for (SiteState& known : *state_.mutable_sites()) {
    if (known.name() == site) return &known;
  }
  return nullptr;
}

bool RoundMachine::HoldsSession(absl::string_view site, absl::string_view session) {
  const SiteState* known = FindSite(site);
  return known != nullptr && known->session() == session;
}

void RoundMachine::Decide(Decision::Code code, std::string reason, absl::string_view site,
                          absl::string_view digest) {
  Decision decision;
  decision.set_code(code);
  decision.set_round(state_.current().round());
  decision.set_site(std::string(site));
  decision.set_reason(std::move(reason));
  decision.set_digest(std::string(digest));
  effects_.push_back(Record{std::move(decision)});
}

void RoundMachine::RefuseCall(absl::string_view site, Refusal::Code code, std::string reason) {
  const Refusal refusal = MakeRefusal(code, std::move(reason));
  effects_.push_back(Refuse{refusal});
  auto* refusals = state_.mutable_current()->mutable_refusals();
  const auto so_far = std::count_if(refusals->begin(), refusals->end(),
                                    [site](const RefusalRecord& r) { return r.site() == site; });
  if (so_far >= kRecordedRefusalsMax) return;
  RefusalRecord* record = refusals->Add();
  record->set_site(std::string(site));
  *record->mutable_refusal() = refusal;
  record->set_unix_ms(state_.now_unix_ms());
  Decision decision;
  decision.set_code(Decision::CALL_REFUSED);
  decision.set_round(state_.current().round());
  decision.set_site(std::string(site));
  decision.set_refusal(code);
  decision.set_reason(refusal.reason());
  effects_.push_back(Record{std::move(decision)});
}

}  // namespace weft
