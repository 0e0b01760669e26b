// weft-coordinator pause, resume, gate: what an operator decides while the coordinator serves.
#ifndef WEFT_COORDINATOR_OPERATOR_COMMANDS_H_
#define WEFT_COORDINATOR_OPERATOR_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>

#include "absl/status/status.h"

namespace weft {

void AddOperatorCommands(CLI::App* program, std::function<absl::Status()>* action);

}  // namespace weft

#endif  // WEFT_COORDINATOR_OPERATOR_COMMANDS_H_
