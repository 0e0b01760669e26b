// What the end of a round means for the sites: whether and how much their contributions counted,
// and, where they keep duals, how far they are from the consensus.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "coordinator/core/message_lists.h"
#include "coordinator/core/round_machine.h"
#include "proto/pull_strength.h"

namespace weft {
namespace {

// Boyd et al. 2011, section 3.4.1: mu = 10, tau = 2.
constexpr double kResidualsApart = 10;
constexpr double kRhoFactor = 2;
// A site may declare any residual: by it rho goes no further than a manifest could put it.
constexpr double kRhoMin = 1e-6;
constexpr double kRhoMax = 1e6;

}  // namespace

void RoundMachine::NoteOutcomes(const RoundRecord& ended) {
  const std::string against =
      ended.refused() ? absl::StrCat("the consensus of round ", ended.round(), " was refused") : "";
  for (const StoredContribution& c : ended.contributions()) NoteOutcome(ended, c, against);
  for (const ExcludedContribution& e : ended.excluded()) {
    NoteOutcome(ended, e.contribution(), e.reason());
  }
}

void RoundMachine::NoteOutcome(const RoundRecord& ended, const StoredContribution& contribution,
                               const std::string& reason_against) {
  auto* outcomes = state_.mutable_outcomes();
  auto known = std::find_if(outcomes->begin(), outcomes->end(),
                            [&](const SiteOutcome& o) { return o.site() == contribution.site(); });
  // A late one may be decided after, or together with, a newer one of the same site.
  if (known != outcomes->end() && known->outcome().base_version() > contribution.base_version()) {
    return;
  }
  SiteOutcome* noted = known != outcomes->end() ? &*known : outcomes->Add();
  noted->set_site(contribution.site());
  ContributionOutcome* outcome = noted->mutable_outcome();
  outcome->set_round(contribution.round());
  outcome->set_base_version(contribution.base_version());
  outcome->set_digest(contribution.digest());
  outcome->set_included(reason_against.empty());
  outcome->set_weight(reason_against.empty() ? contribution.weight() : 0);
  outcome->set_reason(reason_against);
  outcome->set_counted_in(ended.round());
  outcome->set_base_counted(ended.base_version());
  SortBy(outcomes, [](const SiteOutcome& o) { return o.site(); });
}

// Residuals of consensus ADMM (Boyd et al. 2011, section 3.3) over the sites that took part, in the
// mean by their weights; where the manifest says so, rho follows them (section 3.4.1).
void RoundMachine::NoteResiduals(const OuterStepDone& event) {
  RoundRecord* round = state_.mutable_current();
  double weights = 0, squares = 0;
  for (const StoredContribution& c : round->contributions()) {
    weights += c.weight();
    squares += c.weight() * c.primal_residual() * c.primal_residual();
  }
  const double rho = state_.rho() > 0 ? state_.rho()
                                      : PullStrength(manifest_.consensus(), round->inner_steps(),
                                                     manifest_.training().learning_rate());
  const double primal = weights > 0 ? std::sqrt(squares / weights) : 0;
  const double dual = rho * event.step_norm;
  round->set_primal_residual(primal);
  round->set_dual_residual(dual);
  round->set_rho(rho);
  if (!manifest_.consensus().adapt_rho()) return;
  if (primal > kResidualsApart * dual) state_.set_rho(std::min(rho * kRhoFactor, kRhoMax));
  if (dual > kResidualsApart * primal) state_.set_rho(std::max(rho / kRhoFactor, kRhoMin));
}

}  // namespace weft
