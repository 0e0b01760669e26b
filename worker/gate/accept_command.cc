// weft-gate accept: the operator reads what a run is and consents to it, by its digest.
#include <filesystem>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "ops/identity.h"
#include "ops/manifest.h"
#include "proto/durable_file.h"
#include "worker/gate/gate_commands.h"
#include "worker/gate/gate_folder.h"
#include "worker/gate/ledger.h"

namespace weft {
namespace {

struct AcceptOptions {
  std::string state, kit, manifest;
  bool yes = false;
};

bool Ask() {
  std::cout << "Take part in this run? Type yes: " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "yes";
}

absl::Status Accept(const AcceptOptions& options) {
  absl::StatusOr<Identity> identity = LoadIdentity(options.kit);
  if (!identity.ok()) return identity.status();
  absl::StatusOr<SignedManifest> offered =
      LoadSignedManifest(options.manifest, identity->authorities);
  if (!offered.ok()) return offered.status();
  const std::string digest = ToHex(offered->digest);
  std::cout << DescribeManifest(offered->manifest) << "Digest of the manifest: " << digest << "\n";

  const GateFolder folder(options.state);
  if (absl::Status status = folder.MakeFolders(); !status.ok()) return status;
  auto lock = folder.AcquireLock();
  if (!lock.ok()) return lock.status();
  // A folder belongs to one run: its state and its ledger are about that.
  if (std::filesystem::exists(folder.state_path())) {
    absl::StatusOr<GateState> state = folder.LoadState(*offered, identity->name);
    if (!state.ok()) return state.status();
  }
  if (!options.yes && !Ask()) return absl::CancelledError("not accepted; nothing was changed");
  absl::StatusOr<std::string> bytes = ReadWholeFile(options.manifest, uint64_t{16} << 20);
  if (!bytes.ok()) return bytes.status();
  auto ledger = Ledger::Open(folder.ledger_path());
  if (!ledger.ok()) return ledger.status();
  absl::Status status =
      (*ledger)->AppendRecord("manifest-accepted", offered->manifest.run_id(), 0, digest);
  if (status.ok()) status = WriteFileDurably(folder.manifest_path(), *bytes);
  if (!status.ok()) return status;
  std::cout << "Accepted for site " << identity->name << ".\n";
  return absl::OkStatus();
}

}  // namespace

void AddAcceptCommand(CLI::App* program, GateAction* action) {
  auto options = std::make_shared<AcceptOptions>();
  CLI::App* command =
      program->add_subcommand("accept", "Read a signed run manifest in words, and consent to it");
  command
      ->add_option("--state", options->state,
                   "The gate's own folder, one for each run; made if missing")
      ->required();
  command->add_option("--kit", options->kit, "The site's identity kit")->required();
  command->add_option("manifest", options->manifest, "run.signed.json")->required();
  command->add_flag("--yes", options->yes, "Accept without asking");
  command->footer("Example:\n  weft-gate accept --state gate --kit kits/north run.signed.json");
  command->callback([options, action] { *action = [options] { return Accept(*options); }; });
}

}  // namespace weft
