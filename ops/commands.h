// The subcommands of weft-ops, one file a group. Each function declares its commands and leaves in
// *action what main is to do once the command line has been read, so that bad usage (exit 2) and
// failure (exit 1) stay apart.
#ifndef WEFT_OPS_COMMANDS_H_
#define WEFT_OPS_COMMANDS_H_

#include <functional>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace weft {

using Action = std::function<absl::Status()>;

void AddKeysCommands(CLI::App* program, Action* action);
void AddManifestCommands(CLI::App* program, Action* action);
void AddMembershipCommands(CLI::App* program, Action* action);

}  // namespace weft

#endif  // WEFT_OPS_COMMANDS_H_
