#include "coordinator/server/run_files.h"

#include <filesystem>
#include <set>
#include <string>
#include <system_error>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ops/log.h"
#include "proto/durable_file.h"

namespace weft {
namespace fs = std::filesystem;

absl::Status GatherContributions(const RunPaths& paths, const RoundRecord& record) {
  const std::string folder = paths.contributions_of(record.round());
  for (const StoredContribution& c : record.contributions()) {
    if (c.round() == record.round()) continue;
    const std::string name = "/" + absl::BytesToHexString(c.digest());
    const std::string from = paths.contributions_of(c.round()) + name;
    std::error_code error;
    fs::create_hard_link(from, folder + name, error);
    if (error && !fs::exists(folder + name)) {
      return absl::UnavailableError(
          absl::StrCat(from, ": cannot be linked into ", folder, ": ", error.message()));
    }
  }
  return SyncDirectory(folder);
}

namespace {

// With its outer state.
void NeedVersion(const ConsensusVersion& version, NeededFiles* needed) {
  needed->vectors.insert({version.digest(), version.delta_digest(), version.momentum_digest(),
                          version.second_moment_digest(), version.residual_digest()});
}

}  // namespace

NeededFiles FindNeededFiles(const RunPaths& paths, const RoundState& state) {
  NeededFiles needed;
  for (const ConsensusVersion* version :
       {&state.consensus(), &state.candidate(), &state.last_good()}) {
    NeedVersion(*version, &needed);
  }
  for (const ConsensusVersion& fragment : state.fragments()) NeedVersion(fragment, &needed);
  for (const ConsensusVersion& older : state.older()) needed.vectors.insert(older.digest());
  needed.folders = {paths.contributions_of(state.current().round())};
  const auto keep = [&](const StoredContribution& c) {
    needed.vectors.insert(c.base_digest());
    needed.folders.insert(paths.contributions_of(c.round()));
  };
  for (const StoredContribution& c : state.carried()) keep(c);
  for (const StoredContribution& c : state.current().contributions()) keep(c);
  for (const PendingRelease& release : state.releases()) {
    needed.vectors.insert(release.digest());
    needed.vectors.insert(release.fragment_digests().begin(), release.fragment_digests().end());
  }
  needed.vectors.erase("");  // a version without it
  return needed;
}

void RemoveUnneededFiles(const RunPaths& paths, const BlobDirectory& vectors,
                         const RoundState& state, bool keep_contributions) {
  const NeededFiles needed = FindNeededFiles(paths, state);
  for (const Digest& digest : vectors.List()) {
    if (needed.vectors.count(ToBytes(digest)) > 0) continue;
    if (absl::Status status = vectors.Remove(digest); !status.ok()) {
      LogWarning("a blob that is not needed stays: " + std::string(status.message()));
    }
  }
  if (keep_contributions) return;
  std::error_code error;
  fs::remove_all(paths.kept(), error);
  for (const fs::directory_entry& entry : fs::directory_iterator(paths.contributions(), error)) {
    if (needed.folders.count(entry.path().string()) == 0) fs::remove_all(entry.path(), error);
  }
}

}  // namespace weft
