// weft-tokenizer: private text to token shards, and what is needed for that.
#include <CLI/CLI.hpp>
#include <iostream>

#include "tokenizer/commands.h"

int main(int argc, char** argv) {
  CLI::App program("Trains tokenizers and prepares private text for training", "weft-tokenizer");
  program.require_subcommand(1);
  program.footer(
      "Examples:\n"
      "  weft-tokenizer train --vocabulary 32768 --out tokenizer sample/\n"
      "  weft-tokenizer prepare --tokenizer tokenizer --out shards corpus/\n"
      "  weft-tokenizer inspect shards\n"
      "  echo 'Guten Morgen' | weft-tokenizer encode --tokenizer tokenizer\n"
      "Exit: 0 done, 1 failed, 2 bad usage.");
  weft::Action action;
  weft::AddTrainCommand(&program, &action);
  weft::AddPrepareCommand(&program, &action);
  weft::AddInspectCommand(&program, &action);
  weft::AddEncodeCommands(&program, &action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  }
  absl::Status status = action();
  if (status.ok() && !std::cout.flush()) status = absl::DataLossError("cannot write the output");
  if (status.ok()) return 0;
  std::cerr << "weft-tokenizer: " << status.message() << "\n";
  return 1;
}
