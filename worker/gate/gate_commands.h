// The commands of weft-gate. Each adds itself to the program and sets `action` when it is chosen.
#ifndef WEFT_WORKER_GATE_GATE_COMMANDS_H_
#define WEFT_WORKER_GATE_GATE_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace weft {

using GateAction = std::function<absl::Status()>;

void AddAcceptCommand(CLI::App* program, GateAction* action);
// `worker_arguments` is what followed "--" on the command line.
void AddRunCommand(CLI::App* program, const std::vector<std::string>& worker_arguments,
                   GateAction* action);
void AddDoctorCommand(CLI::App* program, GateAction* action);
void AddStatusCommand(CLI::App* program, GateAction* action);
void AddLedgerCommands(CLI::App* program, GateAction* action);

}  // namespace weft

#endif  // WEFT_WORKER_GATE_GATE_COMMANDS_H_
