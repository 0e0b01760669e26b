// The subcommands of weft-model, one file a group. Each function declares its commands and leaves
// in *action what main is to do once the command line has been read, so that bad usage (exit 2) and
// failure (exit 1) stay apart.
#ifndef WEFT_MODEL_COMMANDS_H_
#define WEFT_MODEL_COMMANDS_H_

#include <functional>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace weft {

using Action = std::function<absl::Status()>;

void AddInitCommand(CLI::App* program, Action* action);
void AddConvertCommands(CLI::App* program, Action* action);   // import, export
void AddInspectCommands(CLI::App* program, Action* action);   // inspect, layout
void AddGenerateCommands(CLI::App* program, Action* action);  // generate, logits

}  // namespace weft

#endif  // WEFT_MODEL_COMMANDS_H_
