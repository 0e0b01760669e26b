// The rules that several events share: when a round opens, closes, is extended; what a release
// waits for.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/inclusion.h"
#include "coordinator/core/message_lists.h"
#include "coordinator/core/round_machine.h"
#include "proto/round_schedule.h"

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
  const auto here = static_cast<uint32_t>(Invited().size());
  if (here >= wanted) return Open();
  std::string reason =
      absl::StrCat("round ", round, " waits for ", wanted, " sites: ", here, " joined");
  if (reason != state_.reason()) Enter(RoundEvent::FORMING, Decision::ROUND_WAITS, reason);
}

// Active sites, and those whose contribution is here from a round that was given up.
std::set<std::string> RoundMachine::Invited() const {
  std::set<std::string> names;
  for (const SiteState& site : state_.sites()) {
    if (site.active()) names.insert(site.name());
  }
  for (const StoredContribution& c : state_.current().contributions()) names.insert(c.site());
  return names;
}

void RoundMachine::Open() {
  RoundRecord* round = state_.mutable_current();
  for (const std::string& site : Invited()) round->add_cohort(site);
  round->set_opened_unix_ms(state_.now_unix_ms());
  round->set_inner_steps(InnerStepsOf(manifest_.rounds(), state_.rounds_done()));
  round->set_rho(state_.rho());
  state_.set_deadline_unix_ms(state_.now_unix_ms() +
                              int64_t{1000} * manifest_.rounds().round_seconds_max());
  Enter(
      RoundEvent::OPEN, Decision::ROUND_OPENED,
      absl::StrCat("round ", round->round(), " is open for ", absl::StrJoin(round->cohort(), ", "),
                   " from consensus version ", round->base_version()));
  if (IsAsynchronous(manifest_.consensus())) CloseWithNext();  // what came meanwhile
}

void RoundMachine::CloseIfComplete() {
  if (state_.phase() != RoundEvent::OPEN) return;
  if (IsAsynchronous(manifest_.consensus())) return CloseWithNext();
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
  const uint32_t quorum = manifest_.rounds().quorum();
  if (stored < quorum) return;
  const uint32_t left = DecideInclusion(manifest_, state_).fresh;
  if (left >= quorum) return Close("the whole cohort has contributed");
  std::string reason = absl::StrCat(
      "round ", round.round(), ": the whole cohort has contributed, ", "but after exclusions ",
      left, " of ", stored, " are left and the quorum is ", quorum, "; it waits for its deadline");
  if (reason != state_.reason()) Enter(RoundEvent::OPEN, Decision::ROUND_WAITS, reason);
}

void RoundMachine::ActAtDeadline() {
  if (state_.deadline_unix_ms() == 0 || state_.now_unix_ms() < state_.deadline_unix_ms()) return;
  if (state_.phase() == RoundEvent::OPEN) CloseOrGoOnAtDeadline();
  if (state_.phase() == RoundEvent::EVALUATING) EvaluationMissing();
}

void RoundMachine::CloseOrGoOnAtDeadline() {
  const RoundRecord& round = state_.current();
  const RoundRules& rules = manifest_.rounds();
  const auto stored = static_cast<uint32_t>(round.contributions_size());
  const uint32_t left = DecideInclusion(manifest_, state_).fresh;
  std::string count = absl::StrCat(stored, " of ", round.cohort_size(),
                                   " contributed, the quorum is ", rules.quorum());
  if (left < stored) absl::StrAppend(&count, ", ", stored - left, " excluded");
  if (left >= rules.quorum()) return Close(absl::StrCat("deadline: ", count));
  // Where exclusions alone took the quorum away, one extension lets more sites contribute; after
  // that the same contributions would be excluded again, for ever.
  const bool only_excluded = stored >= rules.quorum();
  const bool extend =
      rules.without_quorum() != "abandon" &&
      (rules.extensions_max() == 0 || round.extensions() < rules.extensions_max()) &&
      (!only_excluded || round.extensions() == 0);
  if (extend) return Extend(count);
  Abandon(absl::StrCat("at its deadline ", count), /*anew=*/only_excluded);
}

void RoundMachine::Extend(const std::string& why) {
  RoundRecord* round = state_.mutable_current();
  // Who came meanwhile takes part in the extension: the sites first invited may be gone for good.
  for (const SiteState& site : state_.sites()) {
    if (site.active() && !Contains(round->cohort(), site.name())) round->add_cohort(site.name());
  }
  std::sort(round->mutable_cohort()->begin(), round->mutable_cohort()->end());
  round->set_extensions(round->extensions() + 1);
  state_.set_deadline_unix_ms(state_.now_unix_ms() +
                              int64_t{1000} * manifest_.rounds().round_seconds_max());
  Enter(RoundEvent::OPEN, Decision::ROUND_EXTENDED,
        absl::StrCat("round ", round->round(), " is extended (", round->extensions(),
                     " times so far): at its deadline ", why));
}

void RoundMachine::Abandon(const std::string& why, bool anew) {
  if (anew) {
    DropWork(absl::StrCat(why, "; new work is asked for from the same base"));
    const uint32_t failed = state_.failed_steps();
    KeepOlder();
    state_.mutable_consensus()->set_version(state_.consensus().version() + 1);
    EndRound(/*work_done=*/true);
    return state_.set_failed_steps(failed);
  }
  NoteSilentSites();
  MarkAbandoned(absl::StrCat(why, "; what is stored counts in round ", state_.current().round() + 1,
                             ", from the same base"));
  EndRound(/*work_done=*/false);
}

void RoundMachine::MarkAbandoned(const std::string& why) {
  RoundRecord* round = state_.mutable_current();
  round->set_abandoned(true);
  round->set_closed_unix_ms(state_.now_unix_ms());
  round->set_closed_reason(why);
  Decide(Decision::ROUND_ABANDONED, absl::StrCat("round ", round->round(), " is abandoned: ", why));
}

// Gives up the round with everything that was contributed to it.
void RoundMachine::DropWork(const std::string& why) {
  MarkAbandoned(why);
  RoundRecord* round = state_.mutable_current();
  for (const StoredContribution& c : round->contributions()) {
    ExcludedContribution* excluded = round->add_excluded();
    *excluded->mutable_contribution() = c;
    excluded->set_reason("the round was abandoned");
    Decide(Decision::CONTRIBUTION_EXCLUDED, excluded->reason(), c.site(), c.digest());
  }
  round->clear_contributions();
}

// A site that is silent and gone is not waited for again until it comes back.
void RoundMachine::NoteSilentSites() {
  for (SiteState& site : *state_.mutable_sites()) {
    const bool invited = Contains(state_.current().cohort(), site.name());
    if (!invited || site.connected() || FindStored(state_, site.name()) != nullptr) continue;
    site.set_active(false);
    Decide(Decision::SITE_SILENT,
           "missed the round and has no watch open: not invited until it returns", site.name());
  }
}

void RoundMachine::Close(std::string reason) {
  const Inclusion inclusion = DecideInclusion(manifest_, state_);
  if (!IsAsynchronous(manifest_.consensus())) NoteSilentSites();
  RoundRecord* round = state_.mutable_current();
  round->clear_contributions();
  if (!IsAsynchronous(manifest_.consensus())) state_.clear_carried();
  for (const StoredContribution& c : inclusion.included) {
    *round->add_contributions() = c;
    std::string words = absl::StrCat("counts ", c.weight());
    if (c.staleness() > 0) {
      absl::StrAppend(&words, "; late, of round ", c.round(), ", staleness ", c.staleness());
    }
    Decide(Decision::CONTRIBUTION_INCLUDED, std::move(words), c.site(), c.digest());
  }
  for (const ExcludedContribution& e : inclusion.excluded) {
    *round->add_excluded() = e;
    Decide(Decision::CONTRIBUTION_EXCLUDED, e.reason(), e.contribution().site(),
           e.contribution().digest());
  }
  round->set_base_weight(inclusion.base_weight);
  round->set_closed_unix_ms(state_.now_unix_ms());
  round->set_closed_reason(reason);
  state_.set_deadline_unix_ms(0);
  Enter(RoundEvent::AGGREGATING, Decision::ROUND_CLOSED,
        absl::StrCat("round ", round->round(), " is closed: ", reason));
  effects_.push_back(RunOuterStep{state_.current(), state_.consensus()});
}

void RoundMachine::RemoveSite(absl::string_view site) {
  auto* sites = state_.mutable_sites();
  sites->erase(std::remove_if(sites->begin(), sites->end(),
                              [site](const SiteState& s) { return s.name() == site; }),
               sites->end());
  // What it stored counts; if it stored nothing, nobody waits for it.
  if (PhaseBehindPause(state_) != RoundEvent::OPEN || FindStored(state_, site) != nullptr) return;
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
