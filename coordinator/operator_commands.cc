#include "coordinator/operator_commands.h"

#include <iostream>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "coordinator/server/operator_command.h"
#include "coordinator/server/run_folder.h"

namespace weft {
namespace {

struct OperatorFlags {
  std::string directory;
  double wait_seconds = 10;
  bool refuse = false;
  OperatorCommand command;
};

absl::Status Send(const OperatorFlags& flags) {
  const absl::StatusOr<LoadedRun> run = LoadRunFolder(flags.directory);
  if (!run.ok()) return run.status();
  const absl::StatusOr<std::string> words =
      SendOperatorCommand(run->paths.commands(), flags.command, absl::Seconds(flags.wait_seconds));
  if (words.ok()) std::cout << *words << "\n";
  return words.status();
}

std::shared_ptr<OperatorFlags> Add(CLI::App* command, OperatorCommand::Kind kind,
                                   std::function<absl::Status()>* action) {
  auto flags = std::make_shared<OperatorFlags>();
  flags->command.set_kind(kind);
  command->add_option("--directory", flags->directory, "Made by init")->required();
  command
      ->add_option_function<std::string>(
          "--reason", [flags](const std::string& words) { flags->command.set_reason(words); },
          "In words: shown to every site and kept in the audit record")
      ->required();
  command->add_option("--wait-seconds", flags->wait_seconds, "For the server to answer")
      ->check(CLI::Range(0.1, 600.0))
      ->capture_default_str();
  command->callback([flags, action] { *action = [flags] { return Send(*flags); }; });
  return flags;
}

}  // namespace

void AddOperatorCommands(CLI::App* program, std::function<absl::Status()>* action) {
  auto* pause = program->add_subcommand(
      "pause", "No round opens or closes, no deadline passes; what sites send is taken");
  Add(pause, OperatorCommand::PAUSE, action);
  pause->footer("weft-coordinator pause --directory run --reason 'the site at Brena moves house'");
  auto* resume = program->add_subcommand("resume", "Go on where the run was paused");
  Add(resume, OperatorCommand::RESUME, action);
  resume->footer("weft-coordinator resume --directory run --reason 'all are back'");

  auto* gate = program->add_subcommand("gate", "Say what came of evaluating a consensus version");
  auto flags = Add(gate, OperatorCommand::GATE, action);
  gate->add_option_function<uint64_t>(
          "--version", [flags](uint64_t version) { flags->command.set_version(version); },
          "The version that waits, or the base of today")
      ->required();
  auto* verdict = gate->add_option_group("verdict");
  verdict->add_flag_callback(
      "--accept", [flags] { flags->command.set_accepted(true); }, "It becomes the base");
  verdict->add_flag("--refuse", flags->refuse, "The next round goes back to the last good one");
  verdict->require_option(1);
  gate->footer(
      "weft-coordinator gate --directory run --version 3 --refuse --reason 'bits per byte rose'");
}

}  // namespace weft
