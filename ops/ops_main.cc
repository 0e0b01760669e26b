// weft-ops: identities, run manifests and memberships, for whoever sets up a run and for whoever
// joins one.
#include <CLI/CLI.hpp>

#include "ops/commands.h"
#include "ops/program_end.h"

int main(int argc, char** argv) {
  CLI::App program("Identities, run manifests and memberships of Weft", "weft-ops");
  program.require_subcommand(1);
  program.footer(
      "Setting up a run, in order:\n"
      "  weft-ops keys init-authority --out authority\n"
      "  weft-ops keys request --name north --out kits/north          (at the site)\n"
      "  weft-ops keys issue --authority authority --request kits/north/request.pem "
      "--out kits/north\n"
      "  weft-ops manifest new --initial initial --run-id demo --rounds 8 --inner-steps 20 "
      "--out run.textproto\n"
      "  weft-ops manifest sign --authority authority run.textproto --out run.signed.json\n"
      "  weft-ops membership new --run-id demo --site north=kits/north --out membership.textproto\n"
      "  weft-ops membership sign --authority authority membership.textproto --out "
      "membership.signed.json\n"
      "Exit: 0 done, 1 failed, 2 bad usage.");
  weft::Action action;
  weft::AddKeysCommands(&program, &action);
  weft::AddManifestCommands(&program, &action);
  weft::AddMembershipCommands(&program, &action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  }
  return weft::EndProgram("weft-ops", action());
}
