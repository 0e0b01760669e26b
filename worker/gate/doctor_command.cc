// weft-gate doctor: is this site ready for its run? The checks are doctor.h's.
#include <cstdio>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "worker/gate/doctor.h"
#include "worker/gate/gate_commands.h"

namespace weft {
namespace {

void Print(const CheckReport& report, bool json) {
  const Finding& finding = report.finding;
  if (json) {
    const nlohmann::ordered_json line = {{"check", report.check},
                                         {"result", std::string(ResultName(finding.result))},
                                         {"words", finding.words},
                                         {"advice", finding.advice},
                                         {"seconds", report.seconds}};
    // What comes from the network may not be UTF-8.
    std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
    return;
  }
  std::cout << absl::StrFormat("%-8s %-15s %s\n", ResultName(finding.result), report.check,
                               finding.words);
  if (!finding.advice.empty()) std::cout << absl::StrFormat("%25s%s\n", "-> ", finding.advice);
  std::cout << std::flush;
}

absl::Status Doctor(const DoctorOptions& options, bool json) {
  int failed = 0;
  const bool good = RunDoctor(options, [&](const CheckReport& report) {
    failed += report.finding.result == Finding::Result::kFailed;
    Print(report, json);
  });
  if (good) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(failed, " check(s) of the doctor failed"));
}

}  // namespace

void AddDoctorCommand(CLI::App* program, GateAction* action) {
  auto options = std::make_shared<DoctorOptions>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = program->add_subcommand(
      "doctor", "Check everything that a run needs of this site, and say what to do");
  command
      ->add_option("--state", options->state,
                   "The gate's own folder, where the manifest was accepted")
      ->required();
  command->add_option("--kit", options->kit, "The site's identity kit")->required();
  command->add_option("--coordinator", options->coordinator, "HOST:PORT")->required();
  command
      ->add_option("--site-directory", options->site_directory,
                   "The folder shared with the worker; made if missing")
      ->required();
  command->add_option("--data", options->data,
                      "A folder of token shards: are they of the run's tokenizer? May be given "
                      "again; only its manifest.json is read");
  command->add_option("--check-seconds", options->check_seconds, "The most that one check may take")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  command->add_flag("--json", *json, "One JSON object a check and line");
  command->footer(
      "Example:\n  weft-gate doctor --state gate --kit kits/north --coordinator "
      "run.example.org:7443 --site-directory exchange --data shards\n"
      "Asks the coordinator whether this site may join, but does not join: a gate that runs goes "
      "on.\n"
      "Exit: 0 nothing failed (warnings may be there), 1 a check failed, 2 bad usage.");
  command->callback(
      [options, json, action] { *action = [options, json] { return Doctor(*options, *json); }; });
}

}  // namespace weft
