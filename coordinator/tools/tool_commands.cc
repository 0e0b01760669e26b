#include "coordinator/tools/tool_commands.h"

#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/tools/directory_check.h"
#include "coordinator/tools/recompute.h"
#include "coordinator/tools/repair.h"
#include "coordinator/tools/run_plan.h"
#include "model/formats/huggingface.h"

namespace weft {
namespace {

using Action = std::function<absl::Status()>;

absl::Status Check(const std::string& folder, bool json) {
  const absl::StatusOr<CheckReport> report = CheckDirectory(folder);
  if (!report.ok()) return report.status();
  std::cout << PrintCheckReport(folder, *report, json);
  if (report->problems.empty()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(folder, ": not sound: ", report->problems.size(), " problems"));
}

void AddCheck(CLI::App* program, Action* action) {
  auto* command =
      program->add_subcommand("check", "Read everything in the directory against its digests");
  auto folder = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  command->add_option("--directory", *folder, "Made by init, or a copy of it")->required();
  command->add_flag("--json", *json, "For scripts");
  command->footer(
      "weft-coordinator check --directory run --json\n"
      "Only reads, also beside a running server. Exit: 0 sound, 1 problems, each with what to do.");
  command->callback([=] { *action = [=] { return Check(*folder, *json); }; });
}

void AddRecompute(CLI::App* program, Action* action) {
  auto* command = program->add_subcommand(
      "recompute", "Make a round's consensus again from what was kept, and compare");
  struct Flags {
    std::string folder, scratch;
    uint64_t round = 0;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  command->add_option("ROUND", flags->round, "Its number")->required();
  command->add_option("--directory", flags->folder, "Of a run served with --keep-contributions")
      ->required();
  command->add_option("--scratch", flags->scratch,
                      "Where vectors are written meanwhile (the system's temporary folder)");
  command->add_flag("--json", flags->json, "For scripts");
  command->footer(
      "weft-coordinator recompute 3 --directory run\n"
      "Exit: 0 the same digest, 1 another one, or something is missing.");
  command->callback([=] {
    *action = [=] {
      const auto result = RecomputeRound(flags->folder, flags->round, flags->scratch);
      if (!result.ok()) return result.status();
      std::cout << PrintRecomputed(*result, flags->json);
      if (result->same()) return absl::OkStatus();
      return absl::DataLossError(
          absl::StrCat("round ", flags->round, " gives another consensus than was published"));
    };
  });
}

void AddRepair(CLI::App* program, Action* action) {
  auto* command = program->add_subcommand(
      "repair", "Remove what nobody needs, make again what can be proved; say what was done");
  auto folder = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  command->add_option("--directory", *folder, "Made by init; no server may run on it")->required();
  command->add_flag("--json", *json, "For scripts");
  command->footer(
      "weft-coordinator repair --directory run\n"
      "Exit: 0 the directory is sound now, 1 problems are left (printed, each with what to do).");
  command->callback([=] {
    *action = [=] {
      const absl::StatusOr<RepairReport> report = RepairDirectory(*folder);
      if (!report.ok()) return report.status();
      std::cout << PrintRepairReport(*folder, *report, *json);
      if (report->left.problems.empty()) return absl::OkStatus();
      return absl::DataLossError(
          absl::StrCat(*folder, ": ", report->left.problems.size(), " problems are left"));
    };
  });
}

void AddPlan(CLI::App* program, Action* action) {
  auto* command =
      program->add_subcommand("plan", "What a run will cost: bytes, disk, hours of transfer");
  struct Flags {
    std::string manifest;
    PlanOptions options;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  PlanOptions& o = flags->options;
  command->add_option("MANIFEST", flags->manifest, "run.textproto, or signed")->required();
  command->add_option("--sites", o.sites, "Sites that contribute (rounds.sites_to_start)")
      ->check(CLI::Range(1u, 100000u));
  const auto rate = [command](const char* name, double* value, const char* what) {
    command->add_option(name, *value, what)->check(CLI::Range(1e-3, 1e7))->capture_default_str();
  };
  rate("--mbit-up", &o.mbit_up, "A site's way up, Mbit/s");
  rate("--mbit-down", &o.mbit_down, "A site's way down, Mbit/s");
  rate("--coordinator-mbit-up", &o.coordinator_mbit_up, "The coordinator's way up, for all sites");
  rate("--coordinator-mbit-down", &o.coordinator_mbit_down, "Its way down, for all sites");
  command
      ->add_option("--seconds-per-step", o.seconds_per_step,
                   "Of the slowest site; without it training is left out")
      ->check(CLI::Range(0.0, 1e6));
  command->add_flag("--keep-contributions", o.keep_contributions, "As serve is told");
  command->add_flag("--json", flags->json, "For scripts");
  command->footer("weft-coordinator plan run.textproto --sites 8 --mbit-up 20 --mbit-down 100");
  command->callback([=] {
    *action = [=] {
      const absl::StatusOr<RunManifest> manifest = ReadManifestToPlan(flags->manifest);
      if (!manifest.ok()) return manifest.status();
      const auto layout = TransformerLayout(manifest->model());
      if (!layout.ok()) return layout.status();
      const RunPlan plan = MakeRunPlan(*manifest, layout->element_count(), flags->options);
      std::cout << PrintRunPlan(*manifest, plan, flags->json);
      return absl::OkStatus();
    };
  });
}

}  // namespace

void AddToolCommands(CLI::App* program, Action* action) {
  AddCheck(program, action);
  AddRecompute(program, action);
  AddRepair(program, action);
  AddPlan(program, action);
}

}  // namespace weft
