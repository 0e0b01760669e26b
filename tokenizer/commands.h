// The subcommands of weft-tokenizer, one file a group. Each function declares its commands and
// leaves in *action what main is to do once the command line has been read, so that bad usage (exit
// 2) and failure (exit 1) stay apart.
#ifndef WEFT_TOKENIZER_COMMANDS_H_
#define WEFT_TOKENIZER_COMMANDS_H_

#include <functional>

#include "absl/status/status.h"
#include "tokenizer/document_reader.h"

namespace CLI {
class App;
}

namespace weft {

using Action = std::function<absl::Status()>;

// How text is read, shared by train and prepare.
void AddDocumentOptions(CLI::App* command, DocumentOptions* options);

void AddTrainCommand(CLI::App* program, Action* action);
void AddPrepareCommand(CLI::App* program, Action* action);
void AddInspectCommand(CLI::App* program, Action* action);
void AddEncodeCommands(CLI::App* program, Action* action);  // encode, decode

}  // namespace weft

#endif  // WEFT_TOKENIZER_COMMANDS_H_
