// How an operator's command comes to a running coordinator: as a file in DIR/commands, which only
// the owner of DIR can write. The server looks there at its tick, and leaves an answer beside it.
//
//   absl::StatusOr<std::string> words = SendOperatorCommand(folder, command, absl::Seconds(10));
//   ...in the server:  TakeOperatorCommands(folder, [&](const OperatorCommand& c) { ... });
//
// A command that nobody takes is withdrawn: what was not done now is not done by surprise later.
// One that a server has taken is done once its transition is on disk; killed between, it does it
// again when it starts, which the round machine refuses where it would matter.
#ifndef WEFT_COORDINATOR_SERVER_OPERATOR_COMMAND_H_
#define WEFT_COORDINATOR_SERVER_OPERATOR_COMMAND_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/core/round_machine.h"
#include "coordinator/server/operator_command.pb.h"

namespace weft {

// The server's words. FailedPrecondition: refused, with the reason; Unavailable: nobody serves.
absl::StatusOr<std::string> SendOperatorCommand(const std::string& folder,
                                                const OperatorCommand& command,
                                                absl::Duration wait);

// Does every command that lies there, in the order of their names.
void TakeOperatorCommands(const std::string& folder,
                          const std::function<OperatorAnswer(const OperatorCommand&)>& act);

// InvalidArgument where it has no kind, or no reason of at most 500 bytes.
absl::StatusOr<Event> EventOf(const OperatorCommand& command);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_OPERATOR_COMMAND_H_
