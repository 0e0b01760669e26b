// weft-model: make models, carry them between forms, look into them, and hear them speak.
#include <CLI/CLI.hpp>
#include <iostream>

#include "model/commands.h"

int main(int argc, char** argv) {
  CLI::App program("Makes, imports, exports, inspects and runs models of Weft", "weft-model");
  program.require_subcommand(1);
  program.footer(
      "Examples:\n"
      "  weft-model init --tokenizer tokenizer --out initial --seed 1\n"
      "  weft-model inspect initial\n"
      "  weft-model generate --model initial --prompt 'Once upon' --tokens 50\n"
      "  weft-model export --vector blobs/3f1c... --config initial --out exported\n"
      "Exit: 0 done, 1 failed, 2 bad usage.");
  weft::Action action;
  weft::AddInitCommand(&program, &action);
  weft::AddConvertCommands(&program, &action);
  weft::AddInspectCommands(&program, &action);
  weft::AddGenerateCommands(&program, &action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = action();
  if (status.ok()) return 0;
  std::cerr << "weft-model: " << status.message() << "\n";
  return 1;
}
