#include <algorithm>

#include "tests/simulation/mutation.h"

namespace weft::simulation {
namespace {

template <typename Wanted>
void EraseEffects(std::vector<Effect>* effects) {
  effects->erase(std::remove_if(effects->begin(), effects->end(),
                                [](const Effect& e) { return std::holds_alternative<Wanted>(e); }),
                 effects->end());
}

void ForEachOuterStep(std::vector<Effect>* effects, const std::function<void(RunOuterStep*)>& f) {
  for (Effect& effect : *effects) {
    if (auto* step = std::get_if<RunOuterStep>(&effect)) f(step);
  }
}

Mutation Named(std::string name, std::string what, std::string caught_by) {
  Mutation mutation;
  mutation.name = std::move(name);
  mutation.what = std::move(what);
  mutation.caught_by = std::move(caught_by);
  return mutation;
}

// Of what the coordinator keeps and counts.
std::vector<Mutation> MakeCountingMutations() {
  std::vector<Mutation> all;
  const auto add = [&all](std::string name, std::string what, std::string caught_by) -> Mutation& {
    return all.emplace_back(Named(std::move(name), std::move(what), std::move(caught_by)));
  };
  add("unsynced_commit", "the coordinator's batch is not synced", "durable_first").commit_sync =
      Sync::kNo;
  add("effects_before_commit", "effects are performed before the state is written", "durable_first")
      .effects_before_commit = true;
  add("forgets_receipts", "receipts are not kept", "receipts").effects = [](auto* effects) {
    EraseEffects<KeepReceipt>(effects);
  };
  add("asks_again", "a site is told that its contribution is not stored", "receipts").told =
      [](RoundEvent* event) { event->set_contribution_stored(false); };
  add("counts_twice", "the last contribution enters the mean twice", "recompute").effects =
      [](auto* effects) {
        ForEachOuterStep(effects, [](RunOuterStep* step) {
          *step->record.add_contributions() = *step->record.contributions().rbegin();
        });
      };
  add("leaves_one_out", "the last contribution does not enter the mean", "recompute").effects =
      [](auto* effects) {
        ForEachOuterStep(effects, [](RunOuterStep* step) {
          if (step->record.contributions_size() > 1) {
            step->record.mutable_contributions()->RemoveLast();
          }
        });
      };
  add("equal_weights", "the membership's weights are not used", "recompute").effects =
      [](auto* effects) {
        ForEachOuterStep(effects, [](RunOuterStep* step) {
          const double equal = 1.0 / step->record.contributions_size();
          for (auto& c : *step->record.mutable_contributions()) c.set_weight(equal);
        });
      };
  add("drops_from_record", "a round's record leaves out what is stored", "recompute").effects =
      [](auto* effects) {
        for (Effect& effect : *effects) {
          auto* keep = std::get_if<KeepRound>(&effect);
          if (keep != nullptr) keep->record.mutable_contributions()->RemoveLast();
        }
      };
  add("second_replaces", "another contribution for the same base takes the first one's place",
      "one_contribution")
      .tamper = [](const Event& event, RoundState* state) {
    const auto* arrived = std::get_if<ContributionArrived>(&event);
    if (arrived == nullptr) return false;
    auto* stored = state->mutable_current()->mutable_contributions();
    const auto old = std::find_if(stored->begin(), stored->end(), [&](const auto& c) {
      return c.site() == arrived->contribution.site() &&
             c.digest() != arrived->contribution.digest();
    });
    if (old == stored->end()) return false;
    stored->erase(old);
    return true;
  };
  all.back().looks_for_receipts = false;
  return all;
}

// Of what the coordinator checks, and of what a restart finds.
std::vector<Mutation> MakeRestartMutations() {
  std::vector<Mutation> all;
  const auto add = [&all](std::string name, std::string what, std::string caught_by) -> Mutation& {
    return all.emplace_back(Named(std::move(name), std::move(what), std::move(caught_by)));
  };
  add("unchecked_base", "contributions from another base are taken", "admission")
      .checks_contributions = false;
  add("unchecked_numbers", "contributions are not looked at for what is not finite, or far away",
      "admission")
      .checks_bytes = false;
  add("momentum_in_place", "the outer step overwrites the momentum that is in force", "recompute")
      .changes_momentum_in_place = true;
  add("loses_outer_state", "a restart forgets momentum and residual", "recompute").loaded =
      [](RoundState* state) {
        state->mutable_consensus()->clear_momentum_digest();
        state->mutable_consensus()->clear_residual_digest();
      };
  add("round_goes_back", "a restart opens the round before", "never_back").loaded =
      [](RoundState* state) {
        RoundRecord* round = state->mutable_current();
        if (round->round() > 0) round->set_round(round->round() - 1);
      };
  add("lost_outer_step", "a restart does not run the outer step that was under way", "progress")
      .effects = [](auto* effects) {
    const bool started = std::any_of(effects->begin(), effects->end(), [](const Effect& e) {
      const auto* record = std::get_if<Record>(&e);
      return record != nullptr && record->decision.code() == Decision::COORDINATOR_STARTED;
    });
    if (started) EraseEffects<RunOuterStep>(effects);
  };
  add("no_deadline", "time does not pass for the round machine", "progress").swallow =
      [](const Event& event) { return std::holds_alternative<TimeAdvanced>(event); };
  add("loses_carried", "a restart forgets what came late", "counts_once").loaded =
      [](RoundState* state) { state->clear_carried(); };
  return all;
}

// Of who is left out of a round, rounds without a barrier, fragments, and what a contribution
// leaves behind at its site.
std::vector<Mutation> MakeSchemeMutations() {
  std::vector<Mutation> all;
  const auto add = [&all](std::string name, std::string what, std::string caught_by) -> Mutation& {
    return all.emplace_back(Named(std::move(name), std::move(what), std::move(caught_by)));
  };
  add("turns_out_of_order", "without a barrier the last that came has its turn first",
      "counts_once")
      .tamper = [](const Event& event, RoundState* state) {
    const int waiting = state->carried_size();
    if (!std::holds_alternative<OuterStepDone>(event) || waiting < 2) return false;
    state->mutable_carried()->SwapElements(0, waiting - 1);
    return true;
  };
  add("elastic_base_not_given", "an elastic site is told to start from the newest consensus",
      "trains_committed")
      .tamper = [](const Event&, RoundState* state) {
    for (SiteOutcome& known : *state->mutable_outcomes()) {
      known.mutable_outcome()->set_base_counted(UINT64_MAX);
    }
    return state->outcomes_size() > 0;
  };
  add("no_quality_floor", "what a site declares of its own held-out text is not looked at",
      "quality_floor")
      .tamper = [](const Event&, RoundState* state) {
    for (StoredContribution& c : *state->mutable_current()->mutable_contributions()) {
      c.clear_validation_after();
    }
    return state->current().contributions_size() > 0;
  };
  add("wrong_fragment", "a round's result takes the place of the fragment after it", "recompute")
      .tamper = [](const Event& event, RoundState* state) {
    const auto count = static_cast<uint32_t>(state->fragments_size());
    if (!std::holds_alternative<OuterStepDone>(event) || count == 0) return false;
    state->mutable_current()->set_fragment((state->current().fragment() + 1) % count);
    return true;
  };
  add("residual_when_stored", "what encodings lost changes when a contribution is stored",
      "feedback")
      .tamper_gate = [](const site::SiteEvent& event, GateState* state) {
    const auto fragment = static_cast<int>(state->contribution_fragment());
    if (!std::holds_alternative<site::ContributionStored>(event)) return false;
    if (state->residual_next().empty()) return false;
    while (state->residual_digests_size() <= fragment) state->add_residual_digests();
    state->set_residual_digests(fragment, state->residual_next());
    state->clear_residual_next();
    return true;
  };
  add("sent_not_switched", "a site with a dual forgets that its contribution has counted",
      "feedback")
      .tamper_gate = [](const site::SiteEvent& event, GateState* state) {
    const bool told = std::holds_alternative<site::RoundChanged>(event) ||
                      std::holds_alternative<site::Joined>(event);
    if (!told || state->sent_next().empty()) return false;
    state->clear_sent_next();
    return true;
  };
  return all;
}

std::vector<Mutation> MakeMutations() {
  std::vector<Mutation> all = MakeCountingMutations();
  for (Mutation& mutation : MakeRestartMutations()) all.push_back(std::move(mutation));
  for (Mutation& mutation : MakeSchemeMutations()) all.push_back(std::move(mutation));
  all.push_back(
      Named("gate_persists_late", "a gate writes its state after its effects", "durable_first"));
  all.back().gate_persists_late = true;
  all.push_back(
      Named("unverified_base", "a site trains from a base without hashing it", "trains_committed"));
  all.back().verifies_base = false;
  all.push_back(Named("forgets_contribution",
                      "a gate that starts again lets its worker train the round anew",
                      "one_contribution"));
  all.back().forgets_contribution = true;
  return all;
}

}  // namespace

absl::Span<const Mutation> Mutations() {
  static const std::vector<Mutation>* const all = new std::vector<Mutation>(MakeMutations());
  return *all;
}

const Mutation* FindMutation(const std::string& name) {
  for (const Mutation& mutation : Mutations()) {
    if (mutation.name == name) return &mutation;
  }
  return nullptr;
}

}  // namespace weft::simulation
