// weft-worker: the program of a site that trains. It sees text and opens no connection.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "model/formats/huggingface.h"
#include "model/transformer.h"
#include "proto/text_file.h"
#include "worker/training/bench.h"
#include "worker/training/island.h"
#include "worker/training/reporter.h"
#include "worker/training/round_runner.h"
#include "worker/training/site_worker.h"

namespace weft {
namespace {

volatile sig_atomic_t interrupted = 0;

void HandleInterrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  // The second signal ends the process at once, for the impatient.
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

struct CommandLine {
  WorkerOptions worker;
  std::string log;
  int threads = 1;
  std::string site_directory;
  IslandOptions island;
  BenchOptions bench;
  std::string bench_model;
  std::string bench_manifest;
  bool json = false;
};

void AddWorkerOptions(CLI::App* command, CommandLine* line) {
  command
      ->add_option("--data", line->worker.data,
                   "A folder of token shards (weft-tokenizer prepare); may be given again")
      ->check(CLI::ExistingDirectory)
      ->required();
  command->add_option("--threads", line->threads, "Threads for one operation")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--slots", line->worker.slots,
                      "Folder of lock files that workers of this machine share: train only while "
                      "holding one");
  command->add_option("--slot-count", line->worker.slot_count, "How many may train at a time")
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--checkpoint-every-steps", line->worker.checkpoint_every_steps,
                   "Also checkpoint within a round, every so many of its steps; 0: not by steps")
      ->capture_default_str();
  command
      ->add_option("--checkpoint-every-minutes", line->worker.checkpoint_every_minutes,
                   "... and so many minutes after the last one, whichever comes first; 0: not by "
                   "time")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->add_option("--log", line->log, "Also append the lines of standard error to this file");
}

void AddRun(CLI::App* app, CommandLine* line) {
  CLI::App* run = app->add_subcommand(
      "run", "Train as a site's gate orders, through the site directory, until it says stop");
  run->add_option("--site-directory", line->site_directory, "Where gate and worker meet")
      ->required();
  AddWorkerOptions(run, line);
  run->footer("Example:\n  weft-worker run --site-directory site/ --data shards/ --threads 8");
}

void AddIsland(CLI::App* app, CommandLine* line) {
  CLI::App* island = app->add_subcommand(
      "island", "Train alone from a run's manifest: no gate, no coordinator, no consensus");
  island->add_option("--manifest", line->island.manifest, "RunManifest, text format")
      ->check(CLI::ExistingFile)
      ->required();
  island->add_option("--initial", line->island.initial, "Hugging Face folder to start from")
      ->check(CLI::ExistingDirectory)
      ->required();
  island->add_option("--site", line->island.site, "The site's name: part of its data order's key")
      ->required();
  island->add_option("--out", line->island.out, "Hugging Face folder to write; must not exist")
      ->required();
  island->add_option("--steps", line->island.steps,
                     "Inner steps; the schedule ends there (default: those of all rounds)");
  AddWorkerOptions(island, line);
  island->footer(
      "Stopped or killed, the same command goes on from the checkpoint in OUT.training.\n"
      "Example:\n  weft-worker island --manifest run.textproto --initial initial/ \\\n"
      "      --data shards/ --site alone --out alone/");
}

void AddBench(CLI::App* app, CommandLine* line) {
  CLI::App* bench =
      app->add_subcommand("bench", "Tokens a second of the training step, next to its floor");
  CLI::Option* model =
      bench->add_option("--model", line->bench_model, "Folder with a config.json: its shape");
  CLI::Option* manifest =
      bench->add_option("--manifest", line->bench_manifest, "RunManifest: the shape of its model");
  model->excludes(manifest);
  bench->add_option("--batch", line->bench.batch_size, "Samples a step")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  bench->add_option("--sequence", line->bench.sequence_length, "Tokens a sample")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  bench->add_option("--steps", line->bench.steps, "Steps that count")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  bench->add_option("--threads", line->threads, "Threads for one operation")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  bench->add_flag("--json", line->json, "Print JSON");
  bench->footer("Example:\n  weft-worker bench --model initial/ --batch 8 --sequence 256 --json");
}

absl::Status RunBench(const CommandLine& line) {
  BenchOptions options = line.bench;
  if (!line.bench_manifest.empty()) {
    RunManifest manifest;
    if (absl::Status status = ReadTextProto(line.bench_manifest, &manifest); !status.ok()) {
      return status;
    }
    options.model = manifest.model();
  } else {
    absl::StatusOr<ModelConfig> config = ReadHuggingFaceConfig(line.bench_model);
    if (!config.ok()) return config.status();
    options.model = *std::move(config);
  }
  if (static_cast<uint32_t>(options.sequence_length) > options.model.context_length()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--sequence %d: the model reads at most %d tokens", options.sequence_length,
                        options.model.context_length()));
  }
  absl::StatusOr<BenchReport> report = Bench(options);
  if (!report.ok()) return report.status();
  if (line.json) {
    const nlohmann::ordered_json json = {
        {"parameters", report->parameters},
        {"batch_size", options.batch_size},
        {"sequence_length", options.sequence_length},
        {"threads", line.threads},
        {"tokens_per_second", report->tokens_per_second},
        {"gradients_share", report->gradients_share},
        {"flops_per_token", report->flops_per_token},
        {"matmul_flops_per_second", report->matmul_flops},
        {"floor_tokens_per_second", report->floor_tokens_per_second},
        {"share_of_floor", report->tokens_per_second / report->floor_tokens_per_second}};
    std::puts(json.dump(2).c_str());
    return absl::OkStatus();
  }
  absl::PrintF("%d parameters, %d x %d tokens a step, fp32, %d thread%s\n", report->parameters,
               options.batch_size, options.sequence_length, line.threads,
               line.threads == 1 ? "" : "s");
  absl::PrintF("%.0f tokens/s: %.1f %% of the time forward and backward, %.1f %% optimizer\n",
               report->tokens_per_second, 100 * report->gradients_share,
               100 * (1 - report->gradients_share));
  absl::PrintF(
      "floor: %.3g operations a token / %.1f GFLOP/s (matrix product 1024 x 1024 x 1024, measured) "
      "= %.0f tokens/s; reached: %.0f %% of it\n",
      report->flops_per_token, report->matmul_flops / 1e9, report->floor_tokens_per_second,
      100 * report->tokens_per_second / report->floor_tokens_per_second);
  return absl::OkStatus();
}

absl::Status Execute(const CLI::App& app, const CommandLine& line) {
  SetComputeThreads(line.threads);
  if (app.got_subcommand("bench")) return RunBench(line);
  absl::StatusOr<std::unique_ptr<Reporter>> reporter = Reporter::Open(line.log);
  if (!reporter.ok()) return reporter.status();
  HandleInterrupts();
  if (app.got_subcommand("island")) return RunIsland(line.island, line.worker, reporter->get());
  return SiteWorker(line.site_directory, line.worker, reporter->get()).Run();
}

int Main(int argc, char** argv) {
  CommandLine line;
  line.worker.interrupted = [] { return interrupted != 0; };
  CLI::App app("Trains on a site's own text. It opens no network connection.", "weft-worker");
  app.require_subcommand(1);
  AddRun(&app, &line);
  AddIsland(&app, &line);
  AddBench(&app, &line);
  try {
    app.parse(argc, argv);
    if (line.worker.slots.empty() != (line.worker.slot_count == 0)) {
      throw CLI::ValidationError("--slots and --slot-count go together");
    }
    if (app.got_subcommand("bench") && line.bench_model.empty() && line.bench_manifest.empty()) {
      throw CLI::ValidationError("bench needs --model or --manifest");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = Execute(app, line);
  if (status.ok()) return 0;
  std::fprintf(stderr, "weft-worker: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) { return weft::Main(argc, argv); }
