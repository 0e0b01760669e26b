// The operator's tools of weft-coordinator: check, recompute, repair, plan.
#ifndef WEFT_COORDINATOR_TOOLS_TOOL_COMMANDS_H_
#define WEFT_COORDINATOR_TOOLS_TOOL_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>

#include "absl/status/status.h"

namespace weft {

// Each sets `action` to what the command line asked for.
void AddToolCommands(CLI::App* program, std::function<absl::Status()>* action);

}  // namespace weft

#endif  // WEFT_COORDINATOR_TOOLS_TOOL_COMMANDS_H_
