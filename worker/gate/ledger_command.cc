// weft-gate ledger: what left the site, whether the record of it is whole, and a copy to take away.
#include <deque>
#include <iomanip>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/durable_file.h"
#include "worker/gate/gate_commands.h"
#include "worker/gate/gate_folder.h"
#include "worker/gate/ledger.h"

namespace weft {
namespace {

struct LedgerOptions {
  std::string state, out, head;
  size_t last = 20;
  bool json = false;

  std::string path() const { return GateFolder(state).ledger_path(); }
};

nlohmann::ordered_json TotalsAsJson(const LedgerTotals& totals) {
  nlohmann::ordered_json sent = nlohmann::ordered_json::object();
  for (const auto& [type, of_type] : totals.sent)
    sent[type] = {{"entries", of_type.entries}, {"bytes", of_type.bytes}};
  return {{"entries", totals.entries},
          {"sent_bytes", totals.sent_bytes},
          {"sent", sent},
          {"head", totals.head}};
}

absl::Status Show(const LedgerOptions& options) {
  std::deque<LedgerEntry> last;
  absl::StatusOr<LedgerTotals> totals = ReadLedger(options.path(), [&](const LedgerEntry& entry) {
    last.push_back(entry);
    if (last.size() > options.last) last.pop_front();
  });
  if (!totals.ok()) return totals.status();
  if (options.json) {
    std::cout << TotalsAsJson(*totals).dump(2) << "\n";
    return absl::OkStatus();
  }
  for (const LedgerEntry& entry : last) {
    std::cout << entry.sequence << "  " << entry.time << "  " << std::left << std::setw(18)
              << entry.type << " round " << entry.round << "  ";
    if (entry.sent)
      std::cout << entry.bytes << " bytes, SHA-256 " << entry.sha256.substr(0, 16) << "...  ";
    std::cout << entry.note << "\n";
  }
  std::cout << "\nWhat left this site, by type:\n";
  for (const auto& [type, of_type] : totals->sent) {
    std::cout << "  " << std::left << std::setw(12) << type << std::right << std::setw(10)
              << of_type.entries << " messages " << std::setw(16) << of_type.bytes << " bytes\n";
  }
  std::cout << "  in all " << totals->sent_bytes << " bytes. Note down the head now and then:\n  "
            << totals->head << "\n";
  return absl::OkStatus();
}

absl::Status Verify(const LedgerOptions& options) {
  bool head_found = options.head.empty();
  absl::StatusOr<LedgerTotals> totals = ReadLedger(options.path(), [&](const LedgerEntry& entry) {
    head_found = head_found || entry.entry == options.head;
  });
  if (!totals.ok()) return totals.status();
  if (!head_found) {
    return absl::DataLossError(
        absl::StrCat(options.path(), ": no entry has the hash ", options.head,
                     ": lines were cut off its end, or it is another ledger"));
  }
  if (options.json) {
    std::cout << nlohmann::ordered_json(
                     {{"verified", true}, {"entries", totals->entries}, {"head", totals->head}})
                     .dump()
              << "\n";
  } else {
    std::cout << options.path() << ": " << totals->entries << " entries, every hash holds; head "
              << totals->head << "\n";
    if (totals->torn)
      std::cout
          << "The last line is not complete: a gate is writing, or was killed while it did.\n";
  }
  return absl::OkStatus();
}

absl::Status Export(const LedgerOptions& options) {
  absl::StatusOr<LedgerTotals> totals = ReadLedger(options.path());
  if (!totals.ok()) return totals.status();
  absl::StatusOr<std::string> bytes = ReadWholeFile(options.path(), uint64_t{1} << 36);
  if (!bytes.ok()) return bytes.status();
  bytes->resize(bytes->rfind('\n') + 1);  // What a running gate is writing now is not a line yet.
  if (absl::Status status = WriteFileDurably(options.out, *bytes); !status.ok()) return status;
  std::cout << options.out << ": " << totals->entries << " entries\n";
  return absl::OkStatus();
}

}  // namespace

void AddLedgerCommands(CLI::App* program, GateAction* action) {
  CLI::App* ledger =
      program->add_subcommand("ledger", "The record of everything that left this site");
  ledger->require_subcommand(1);
  ledger->footer("Example:\n  weft-gate ledger show --state gate --json");
  const auto add = [&](const char* name, const char* words,
                       absl::Status (*run)(const LedgerOptions&)) {
    auto options = std::make_shared<LedgerOptions>();
    CLI::App* command = ledger->add_subcommand(name, words);
    command->add_option("--state", options->state, "The gate's own folder")->required();
    command->callback(
        [options, action, run] { *action = [options, run] { return run(*options); }; });
    return std::make_pair(command, options);
  };
  const auto [show, show_options] =
      add("show", "The last entries, and the bytes that left by type", &Show);
  show->add_option("--last", show_options->last, "How many entries to print")
      ->capture_default_str();
  show->add_flag("--json", show_options->json, "The sums only, for scripts");
  const auto [verify, verify_options] = add("verify", "Check every hash of the chain", &Verify);
  verify->add_option("--head", verify_options->head,
                     "A hash noted down earlier, which must still be in the chain");
  verify->add_flag("--json", verify_options->json, "For scripts");
  const auto [copy, copy_options] =
      add("export", "Check the ledger and write a copy of it", &Export);
  copy->add_option("--out", copy_options->out, "The copy's path")->required();
}

}  // namespace weft
