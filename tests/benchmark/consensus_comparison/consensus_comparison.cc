// consensus_comparison: which consensus scheme is best on uneven data? See README.md.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/benchmark/consensus_comparison/cells.h"
#include "tests/benchmark/consensus_comparison/comparison_run.h"
#include "tests/benchmark/consensus_comparison/report.h"
#include "tests/benchmark/consensus_comparison/version.h"

namespace weft::comparison {
namespace {

constexpr char kExample[] = R"(
Examples:
  consensus_comparison list
  consensus_comparison run --out comparison --budget-minutes 40
  consensus_comparison run --out small --steps 150 --batch 2 --cells fedavg-h10,proximal-h10
  consensus_comparison pairs --out comparison
  consensus_comparison report --out comparison
Exit: 0 done, 1 failed, 2 bad usage.)";

std::string DefaultData() {
  const char* data = std::getenv("WEFT_DATA");
  return absl::StrCat(data != nullptr ? data : "../shared/data", "/fedcorpus");
}

struct Arguments {
  RunRequest request;
  std::vector<uint64_t> seeds = {1, 2, 3};
};

void AddSetting(CLI::App* command, Arguments* arguments) {
  Setting* setting = &arguments->request.setting;
  command->add_option("--out", setting->out, "Folder of the comparison: its text, and its records")
      ->required();
  command
      ->add_option("--data", setting->data,
                   "Folder with a subfolder of text a language (en, fr ...); if left out, "
                   "$WEFT_DATA/fedcorpus")
      ->capture_default_str();
  command->add_option("--steps", setting->steps, "Inner steps of each site, a multiple of 150")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--batch", setting->batch, "Samples of 128 tokens a step, an even number")
      ->check(CLI::Range(2, 1024))
      ->capture_default_str();
  command->add_option("--held-out-bytes", setting->held_out_bytes, "Of each site's text, to score")
      ->check(CLI::Range(1000, 10'000'000))
      ->capture_default_str();
  command->add_option("--threads", setting->threads, "Sites that train side by side")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command
      ->add_option("--budget-minutes", arguments->request.budget_minutes,
                   "Begin no cell that would end later; 0: no bound")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--version-note", setting->version, "Which code this is")
      ->capture_default_str();
}

absl::Status List(const Setting& setting) {
  for (const Cell& cell : AllCells()) {
    RunManifest manifest;
    if (cell.kind == Kind::kFederation) {
      absl::StatusOr<RunManifest> made = ManifestOf(cell, setting, 7, std::string(64, '0'));
      if (!made.ok()) return made.status();
      manifest = *std::move(made);
    }
    std::cout << absl::StrFormat("%-24s %-11s %s\n", cell.name, cell.group,
                                 Describe(cell, manifest));
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("Compares consensus schemes on real, uneven text: bits per byte after equal tokens.",
               "consensus_comparison");
  app.footer(kExample);
  app.require_subcommand(1);
  Arguments arguments;
  Setting* setting = &arguments.request.setting;
  setting->data = DefaultData();
  setting->version = kVersion;
  std::function<absl::Status()> action;
  CLI::App* run = app.add_subcommand("run", "Do the cells that are not done yet");
  AddSetting(run, &arguments);
  run->add_option("--cells", arguments.request.cells, "Names, with commas; if left out, all")
      ->delimiter(',');
  run->add_option("--seed", setting->seed, "Of the first vector and the data order")
      ->capture_default_str();
  run->callback([&] { action = [&] { return RunCells(arguments.request); }; });
  CLI::App* pairs = app.add_subcommand(
      "pairs", "What int4 costs: one cell with and without it, paired by seed and data order");
  AddSetting(pairs, &arguments);
  pairs->add_option("--seeds", arguments.seeds, "With commas")->delimiter(',');
  pairs->callback([&] {
    action = [&] { return RunPairs(*setting, arguments.seeds, arguments.request.budget_minutes); };
  });
  CLI::App* list = app.add_subcommand("list", "The cells with their settings");
  list->add_option("--steps", setting->steps, "Inner steps of each site")->capture_default_str();
  list->callback([&] { action = [&] { return List(*setting); }; });
  CLI::App* report = app.add_subcommand("report", "Write OUT/report.md and its plots");
  report->add_option("--out", setting->out, "Folder of the comparison")->required();
  report->callback([&] { action = [&] { return WriteReport(setting->out); }; });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (setting->batch % 2 != 0) {
    std::fputs("consensus_comparison: --batch is even: the pooled reference halves it\n", stderr);
    return 2;
  }
  const absl::Status status = action();
  if (status.ok()) return 0;
  std::fprintf(stderr, "consensus_comparison: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace weft::comparison

int main(int argc, char** argv) { return weft::comparison::Main(argc, argv); }
