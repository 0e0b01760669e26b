// What an operator decides: pause and resume.
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/round_machine.h"

namespace weft {

void RoundMachine::On(const OperatorPaused& event) {
  if (state_.has_pause()) {
    return RefuseCommand(absl::StrCat("it is paused already: ", state_.pause().reason()));
  }
  const RoundEvent::Phase phase = state_.phase();
  const bool last = state_.rounds_done() == manifest_.rounds().round_count();
  if (phase == RoundEvent::FINISHED || phase == RoundEvent::HALTED || last) {
    return RefuseCommand(absl::StrCat("there is nothing to pause: ", state_.reason()));
  }
  state_.mutable_pause()->set_reason(event.reason);
  if (phase == RoundEvent::FORMING || phase == RoundEvent::OPEN) {
    BeginPause();
  } else {
    Decide(Decision::RUN_PAUSED, absl::StrCat("an operator pauses the run: ", event.reason,
                                              "; it begins when the consensus of round ",
                                              state_.current().round(), " is there"));
  }
  effects_.push_back(Accept{});
}

void RoundMachine::BeginPause() {
  Pause* pause = state_.mutable_pause();
  pause->set_since_unix_ms(state_.now_unix_ms());
  pause->set_phase(state_.phase());
  pause->set_phase_reason(state_.reason());
  Enter(RoundEvent::PAUSED, Decision::RUN_PAUSED,
        absl::StrCat("paused by an operator: ", pause->reason()));
}

void RoundMachine::On(const OperatorResumed& event) {
  if (!state_.has_pause()) return RefuseCommand("it is not paused");
  const Pause pause = state_.pause();
  state_.clear_pause();
  Decide(Decision::RUN_RESUMED, absl::StrCat("resumed by an operator: ", event.reason));
  effects_.push_back(Accept{});
  effects_.push_back(Announce{});
  if (state_.phase() != RoundEvent::PAUSED) return;
  state_.set_phase(pause.phase());
  state_.set_reason(pause.phase_reason());
  if (state_.deadline_unix_ms() != 0) {
    state_.set_deadline_unix_ms(state_.deadline_unix_ms() + state_.now_unix_ms() -
                                pause.since_unix_ms());
  }
  OpenOrWait();
  CloseIfComplete();
}

// Only the operator learns of it, and the audit record.
void RoundMachine::RefuseCommand(std::string reason) {
  effects_.push_back(Refuse{MakeRefusal(Refusal::NOT_NOW, reason)});
  Decide(Decision::COMMAND_REFUSED, std::move(reason));
}

}  // namespace weft
