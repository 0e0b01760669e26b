// weft-gate: the one program of a site that speaks to the coordinator. It sees parameter vectors
// and never text.
#include <cstring>

#include "ops/log.h"
#include "ops/program_end.h"
#include "worker/gate/gate_commands.h"

int main(int argc, char** argv) {
  // What follows "--" is the worker's.
  int own = argc;
  std::vector<std::string> worker_arguments;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--") != 0) continue;
    own = i;
    worker_arguments.assign(argv + i + 1, argv + argc);
    break;
  }
  CLI::App program(
      "The gate of a site: joins a run, carries parameter vectors, keeps the ledger of all that "
      "leaves",
      "weft-gate");
  program.require_subcommand(1);
  program.footer(
      "Taking part in a run:\n"
      "  weft-gate accept --state gate --kit kits/north run.signed.json\n"
      "  weft-gate doctor --state gate --kit kits/north --coordinator run.example.org:7443 "
      "--site-directory exchange\n"
      "  weft-gate run --state gate --kit kits/north --coordinator run.example.org:7443 "
      "--site-directory exchange "
      "--start-worker -- --data shards\n"
      "  weft-gate ledger show --state gate\n"
      "Exit: 0 done, 1 failed or refused, 2 bad usage.");
  weft::GateAction action;
  weft::AddAcceptCommand(&program, &action);
  weft::AddRunCommand(&program, worker_arguments, &action);
  weft::AddDoctorCommand(&program, &action);
  weft::AddStatusCommand(&program, &action);
  weft::AddLedgerCommands(&program, &action);
  try {
    program.parse(own, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  }
  if (!action) return 2;
  weft::SetUpLogging("weft-gate");
  const absl::Status status = action();
  const bool misused = absl::IsInvalidArgument(status) && status.message().find("usage: ") == 0;
  const int end = weft::EndProgram("weft-gate", status);
  return misused ? 2 : end;
}
