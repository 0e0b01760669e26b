// weft-gate status: where the site is in its run. Works beside a running gate.
#include <iostream>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/text_file.h"
#include "worker/core/site_machine.h"
#include "worker/gate/gate_commands.h"
#include "worker/gate/gate_folder.h"
#include "worker/gate/ledger.h"
#include "worker/site/site_directory.h"

namespace weft {
namespace {

struct StatusOptions {
  std::string state, site_directory;
  bool json = false;
};

absl::Status Status(const StatusOptions& options) {
  const GateFolder folder(options.state);
  GateState state;
  if (absl::Status status = ReadTextProto(folder.state_path(), &state); !status.ok()) {
    return absl::IsNotFound(status) ? absl::NotFoundError(absl::StrCat(
                                          options.state, ": no gate has run with this folder yet"))
                                    : status;
  }
  absl::StatusOr<LedgerTotals> totals = ReadLedger(folder.ledger_path());
  if (!totals.ok()) return totals.status();
  nlohmann::ordered_json out = {{"run", state.run_id()},
                                {"site", state.site()},
                                {"manifest", state.manifest_digest()},
                                {"epoch", state.coordinator_epoch()},
                                {"stage", GateState::Stage_Name(state.stage())},
                                {"round", state.round().round()},
                                {"round_count", state.round().round_count()},
                                {"base", absl::BytesToHexString(state.round().base_digest())},
                                {"base_version", state.round().context().base_version()},
                                {"outcome", state.outcome()},
                                {"contribution", state.contribution_blob()},
                                {"contribution_outcome", site::OutcomeWords(state.decided())},
                                {"sent_bytes", totals->sent_bytes}};
  if (!options.site_directory.empty()) {
    absl::StatusOr<SiteDirectory> site = SiteDirectory::Open(options.site_directory);
    if (!site.ok()) return site.status();
    absl::StatusOr<std::optional<WorkerProgress>> progress = site->Progress();
    if (!progress.ok()) return progress.status();
    if (progress->has_value()) {
      const WorkerProgress& worker = **progress;
      out["worker"] = {{"state", worker.state()},
                       {"round", worker.round()},
                       {"inner_steps_done", worker.inner_steps_done()},
                       {"inner_steps", worker.inner_steps()},
                       {"loss", worker.loss()},
                       {"tokens_per_second", worker.tokens_per_second()}};
    }
  }
  if (options.json) {
    std::cout << out.dump(2) << "\n";
    return absl::OkStatus();
  }
  for (const auto& [key, value] : out.items()) {
    if (!value.is_object())
      std::cout << key << ": " << (value.is_string() ? value.get<std::string>() : value.dump())
                << "\n";
    if (!value.is_object()) continue;
    for (const auto& [name, part] : value.items()) {
      std::cout << key << " " << name << ": "
                << (part.is_string() ? part.get<std::string>() : part.dump()) << "\n";
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddStatusCommand(CLI::App* program, GateAction* action) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* command = program->add_subcommand("status", "Where this site is in its run");
  command->add_option("--state", options->state, "The gate's own folder")->required();
  command->add_option("--site-directory", options->site_directory,
                      "Also what the worker says of its progress");
  command->add_flag("--json", options->json, "For scripts");
  command->footer("Example:\n  weft-gate status --state gate --json");
  command->callback([options, action] { *action = [options] { return Status(*options); }; });
}

}  // namespace weft
