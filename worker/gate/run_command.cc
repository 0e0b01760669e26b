// weft-gate run: takes part in the accepted run until it is finished.
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "ops/log.h"
#include "proto/check.h"
#include "worker/gate/gate_commands.h"
#include "worker/gate/site_driver.h"

namespace weft {
namespace {

struct RunOptions {
  std::string state, kit, coordinator, site_directory, worker_command;
  bool start_worker = false;
  double give_up_hours = 24;
  double silence_seconds = 20;
};

// SIGTERM and SIGINT end the loop and the call in progress. Threads made later inherit the mask, so
// only this one gets them.
class SignalWatcher {
 public:
  SignalWatcher() {
    sigemptyset(&signals_);
    for (int signal : {SIGTERM, SIGINT, SIGUSR2}) sigaddset(&signals_, signal);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  void Start(std::atomic<bool>* stop, EgressGate* egress) {
    thread_ = std::thread([this, stop, egress] {
      int signal = 0;
      sigwait(&signals_, &signal);
      if (signal == SIGUSR2) return;
      stop->store(true);
      egress->Cancel();
    });
  }
  // Before `egress` goes.
  void Stop() {
    pthread_kill(thread_.native_handle(), SIGUSR2);  // Our own word to it: nobody waits any more.
    thread_.join();
  }

 private:
  sigset_t signals_;
  std::thread thread_;
};

std::vector<std::string> WorkerCommand(const RunOptions& options,
                                       const std::vector<std::string>& arguments) {
  const auto beside = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "weft-worker";
  std::vector<std::string> command = {beside.string(), "run", "--site-directory",
                                      options.site_directory};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

absl::Status CheckUsage(const RunOptions& options,
                        const std::vector<std::string>& worker_arguments) {
  if (!options.start_worker && !worker_arguments.empty()) {
    return absl::InvalidArgumentError(
        "usage: what follows -- is for --start-worker, which is not given");
  }
  if (options.start_worker && !options.worker_command.empty()) {
    return absl::InvalidArgumentError(
        "usage: --start-worker and --worker-command exclude each other");
  }
  return absl::OkStatus();
}

absl::Status Run(const RunOptions& options, const std::vector<std::string>& worker_arguments) {
  if (absl::Status status = CheckUsage(options, worker_arguments); !status.ok()) return status;
  SignalWatcher signals;
  std::string warning;
  absl::StatusOr<Identity> identity = LoadIdentity(options.kit, &warning);
  if (!identity.ok()) return identity.status();
  if (!warning.empty()) LogWarning(warning);
  const GateFolder folder(options.state);
  absl::StatusOr<SignedManifest> accepted = folder.LoadAccepted(*identity);
  if (!accepted.ok()) return accepted.status();
  if (absl::Status status = folder.MakeFolders(); !status.ok()) return status;
  auto lock = folder.AcquireLock();
  if (!lock.ok()) return lock.status();
  absl::StatusOr<GateState> state = folder.LoadState(*accepted, identity->name);
  if (!state.ok()) return state.status();
  auto ledger = Ledger::Open(folder.ledger_path());
  if (!ledger.ok()) return ledger.status();
  absl::StatusOr<SiteDirectory> site = SiteDirectory::Open(options.site_directory);
  if (!site.ok()) return site.status();
  absl::StatusOr<BlobDirectory> own_blobs = BlobDirectory::Open(folder.blob_folder());
  if (!own_blobs.ok()) return own_blobs.status();
  absl::StatusOr<Digest> layout = DigestFromHex(accepted->manifest.layout_digest());
  if (!layout.ok()) return layout.status();
  auto egress = EgressGate::Create(
      {options.coordinator, *identity, accepted->manifest.run_id(), *layout}, ledger->get());
  if (!egress.ok()) return egress.status();

  std::atomic<bool> stop{false};
  signals.Start(&stop, egress->get());
  ClientOptions client_options;
  client_options.patience = absl::Hours(options.give_up_hours);
  client_options.silence_max = absl::Seconds(options.silence_seconds);
  CoordinatorClient client(egress->get(), client_options, &stop);
  WorkerProcess worker(WorkerCommand(options, worker_arguments));
  SiteDriverParts parts{
      &folder,     &*identity,    &*accepted, &*site,
      &*own_blobs, ledger->get(), &client,    options.start_worker ? &worker : nullptr};
  SiteDriverOptions driver_options;
  driver_options.worker_command = options.worker_command;
  driver_options.limits.silence_ms_max = absl::ToInt64Milliseconds(client_options.patience);
  LogInfo("gate of a site", {{"site", identity->name},
                             {"run", accepted->manifest.run_id()},
                             {"manifest", ToHex(accepted->digest)},
                             {"coordinator", options.coordinator}});
  SiteDriver driver(parts, driver_options, *std::move(state), &stop);
  const absl::Status status = driver.Run();
  signals.Stop();
  return status;
}

}  // namespace

void AddRunCommand(CLI::App* program, const std::vector<std::string>& worker_arguments,
                   GateAction* action) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command =
      program->add_subcommand("run", "Take part in the accepted run until it is finished");
  command
      ->add_option("--state", options->state,
                   "The gate's own folder, where the manifest was accepted")
      ->required();
  command->add_option("--kit", options->kit, "The site's identity kit")->required();
  command
      ->add_option("--coordinator", options->coordinator,
                   "HOST:PORT, as its certificate names the host")
      ->required();
  command
      ->add_option("--site-directory", options->site_directory,
                   "The folder shared with the worker; made if missing")
      ->required();
  command->add_flag("--start-worker", options->start_worker,
                    "Start weft-worker as a child, with what follows -- as its arguments");
  command->add_option("--worker-command", options->worker_command,
                      "Run by the shell when a round opens and no worker holds the lock, e.g. "
                      "\"sbatch train.slurm\"");
  command
      ->add_option("--give-up-hours", options->give_up_hours,
                   "End after so long without a word from the coordinator")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--silence-seconds", options->silence_seconds,
                   "Connect again after so long without a heartbeat")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->footer(
      "Example:\n  weft-gate run --state gate --kit kits/north --coordinator run.example.org:7443 "
      "--site-directory "
      "exchange --start-worker -- --data shards\nEnded by SIGTERM or by a crash, the same command "
      "goes on with the run.");
  command->callback([options, worker_arguments, action] {
    *action = [options, worker_arguments] { return Run(*options, worker_arguments); };
  });
}

}  // namespace weft
