// weft-coordinator: makes the directory of a run, serves it, shows it, pauses it.
#include <signal.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "coordinator/operator_commands.h"
#include "coordinator/server/coordinator_server.h"
#include "coordinator/server/run_folder.h"
#include "coordinator/server/status_report.h"
#include "coordinator/tools/tool_commands.h"
#include "ops/log.h"
#include "ops/program_end.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

struct ServeFlags {
  std::string directory;
  std::string port_file;
  double heartbeat_seconds = 5;
  CoordinatorServer::Options options;
};

// Blocked before there are threads, so that only the wait below takes them.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

absl::Status Serve(ServeFlags flags) {
  const sigset_t signals = BlockEndSignals();
  SetUpLogging("weft-coordinator");
  const absl::StatusOr<LoadedRun> run = LoadRunFolder(flags.directory);
  if (!run.ok()) return run.status();
  if (!run->identity_warning.empty()) LogWarning(run->identity_warning);
  flags.options.heartbeat = absl::Seconds(flags.heartbeat_seconds);
  auto server = CoordinatorServer::Start(*run, flags.options);
  if (!server.ok()) return server.status();
  LogInfo("serving", {{"run", run->manifest.manifest.run_id()},
                      {"manifest", ToHex(run->manifest.digest)},
                      {"port", absl::StrCat((*server)->port())}});
  if (!flags.port_file.empty()) {
    absl::Status status = WriteFileDurably(flags.port_file, absl::StrCat((*server)->port(), "\n"));
    if (!status.ok()) return status;
  }
  const timespec look_again{.tv_sec = 0, .tv_nsec = 200'000'000};
  int signal = -1;
  while (signal < 0 && (*server)->failure().ok()) {
    signal = sigtimedwait(&signals, nullptr, &look_again);
  }
  if (signal > 0) LogInfo("ending", {{"signal", strsignal(signal)}});
  const absl::Status failure = (*server)->failure();
  (*server)->Stop();
  return failure;
}

void AddInit(CLI::App* program, std::function<absl::Status()>* action) {
  auto* command = program->add_subcommand("init", "Make the directory of a run");
  auto options = std::make_shared<InitOptions>();
  command->add_option("--directory", options->folder, "Where the run is kept")->required();
  command->add_option("--kit", options->kit, "The coordinator's identity kit")->required();
  command->add_option("--manifest", options->manifest, "Signed run manifest")->required();
  command->add_option("--membership", options->membership, "Signed membership")->required();
  command->add_option("--initial", options->initial, "Model folder: consensus version 0")
      ->required();
  command->footer(
      "weft-coordinator init --directory run --kit kits/coordinator --manifest run.signed.json \\\n"
      "    --membership membership.signed.json --initial initial");
  command->callback([options, action] {
    *action = [options] {
      const absl::Status status = InitRunFolder(*options);
      if (status.ok()) std::cout << "made " << options->folder << "\n";
      return status;
    };
  });
}

void AddServe(CLI::App* program, std::function<absl::Status()>* action) {
  auto* command = program->add_subcommand("serve", "Serve the run until SIGTERM");
  auto flags = std::make_shared<ServeFlags>();
  command->add_option("--directory", flags->directory, "Made by init")->required();
  command->add_option("--listen", flags->options.listen, "HOST:PORT; port 0: any")->required();
  command->add_option("--port-file", flags->port_file, "The port is written here once it is open");
  command
      ->add_option("--heartbeat-seconds", flags->heartbeat_seconds, "Between events to a watcher")
      ->check(CLI::Range(0.05, 60.0))
      ->capture_default_str();
  command->add_flag("--keep-contributions", flags->options.keep_contributions,
                    "Keep what sites sent and what it was added to, so that anyone with a copy can "
                    "recompute each consensus");
  command->footer("weft-coordinator serve --directory run --listen 0.0.0.0:7700");
  command->callback([flags, action] { *action = [flags] { return Serve(*flags); }; });
}

void AddStatus(CLI::App* program, std::function<absl::Status()>* action) {
  auto* command = program->add_subcommand("status", "Show the run, also beside a running server");
  auto folder = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  command->add_option("--directory", *folder, "Made by init")->required();
  command->add_flag("--json", *json, "For scripts");
  command->footer("weft-coordinator status --directory run --json");
  command->callback([folder, json, action] {
    *action = [folder, json] {
      const absl::StatusOr<std::string> text = ReportStatus(*folder, *json);
      if (text.ok()) std::cout << *text;
      return text.status();
    };
  });
}

DiskHelp HelpWithDisks() {
  return {.room =
              " (weft-coordinator plan MANIFEST says how much the run needs, repair removes "
              "leftovers)",
          .check = "run weft-coordinator check, "};
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
  CLI::App program(
      "Serves a federated training run: opens rounds, collects contributions, computes the "
      "consensus",
      "weft-coordinator");
  program.require_subcommand(1);
  program.footer(
      "  weft-coordinator init --directory run --kit kits/coordinator --manifest run.signed.json "
      "\\\n"
      "      --membership membership.signed.json --initial initial\n"
      "  weft-coordinator serve --directory run --listen 0.0.0.0:7700\n"
      "  weft-coordinator status --directory run\n"
      "  weft-coordinator pause --directory run --reason WHY\n"
      "  weft-coordinator plan run.textproto --sites 8 --mbit-up 20\n"
      "  weft-coordinator check --directory run\n"
      "Exit: 0 done, 1 failed, 2 bad usage.");
  std::function<absl::Status()> action;
  weft::AddInit(&program, &action);
  weft::AddServe(&program, &action);
  weft::AddStatus(&program, &action);
  weft::AddOperatorCommands(&program, &action);
  weft::AddToolCommands(&program, &action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  }
  return weft::EndProgram("weft-coordinator", action(), weft::HelpWithDisks());
}
