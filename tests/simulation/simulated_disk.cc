#include "tests/simulation/simulated_disk.h"

#include "absl/strings/match.h"

namespace weft::simulation {
namespace {

std::string_view View(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace

SimulatedDisk::Written SimulatedDisk::Write(Batch batch, Sync sync) {
  Written written;
  if (faults_->Happens(Fault::kDiskError)) {
    written.ok = false;
    if (random_.Chance(0.5)) return written;
  }
  written.durable = sync == Sync::kYes;
  for (auto& [name, content] : batch) {
    if (sync == Sync::kNo) {
      unsynced_[name] = std::move(content);
      continue;
    }
    unsynced_.erase(name);
    if (content.has_value()) {
      durable_[name] = *std::move(content);
    } else {
      durable_.erase(name);
    }
  }
  return written;
}

const std::string* SimulatedDisk::Read(absl::string_view name) const {
  const auto over = unsynced_.find(View(name));
  if (over == unsynced_.end()) return ReadDurable(name);
  return over->second.has_value() ? &*over->second : nullptr;
}

const std::string* SimulatedDisk::ReadDurable(absl::string_view name) const {
  const auto found = durable_.find(View(name));
  return found == durable_.end() ? nullptr : &found->second;
}

std::vector<std::string> SimulatedDisk::List(absl::string_view prefix) const {
  std::vector<std::string> names;
  for (auto at = durable_.lower_bound(View(prefix));
       at != durable_.end() && absl::StartsWith(at->first, prefix); ++at) {
    if (Read(at->first) != nullptr) names.push_back(at->first);
  }
  for (auto at = unsynced_.lower_bound(View(prefix));
       at != unsynced_.end() && absl::StartsWith(at->first, prefix); ++at) {
    if (at->second.has_value() && ReadDurable(at->first) == nullptr) names.push_back(at->first);
  }
  return names;
}

void SimulatedDisk::Crash() {
  if (!unsynced_.empty()) faults_->Count(Fault::kUnsyncedLost);
  unsynced_.clear();
}

bool SimulatedDisk::Corrupt(const std::string& name) {
  const auto found = durable_.find(name);
  if (found == durable_.end() || found->second.empty()) return false;
  char& byte = found->second[random_.Below(found->second.size())];
  byte = static_cast<char>(byte ^ static_cast<char>(1u << random_.Below(8)));
  return true;
}

}  // namespace weft::simulation
