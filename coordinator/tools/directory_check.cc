#include "coordinator/tools/directory_check.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "coordinator/server/kept_step.h"
#include "coordinator/server/run_files.h"
#include "coordinator/server/run_folder.h"
#include "coordinator/store/rocksdb_round_store.h"
#include "coordinator/tools/named_digests.h"
#include "coordinator/tools/run_plan.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "nlohmann/json.hpp"
#include "proto/blob_digest.h"
#include "proto/durable_file.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

using Kind = Finding::Kind;
constexpr int kLooksMax = 5;  // beside a server that makes progress meanwhile

const char kBackup[] = "put back a backup of the coordinator's directory";
const char kRepair[] = "end the server and run weft-coordinator repair";

std::vector<std::string> Entries(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string NameOf(const std::string& path) { return fs::path(path).filename().string(); }
bool IsTemporary(const std::string& path) { return absl::EndsWith(path, kTemporarySuffix); }

class DirectoryCheck {
 public:
  explicit DirectoryCheck(const std::string& folder) : paths_{folder} {}

  CheckReport Run() {
    CheckInputs();
    CheckState();
    CheckVectors();
    CheckContributions();
    CheckKept();
    CheckReleases();
    for (const std::string& path : Entries(paths_.folder)) NoteIfTemporary(path);
    CheckNamedByState();
    return std::move(report_);
  }

 private:
  void Problem(Kind kind, std::string path, std::string what, std::string to_do,
               std::string digest = {}) {
    report_.problems.push_back(
        {kind, std::move(path), std::move(what), std::move(to_do), std::move(digest)});
  }
  bool NoteIfTemporary(const std::string& path) {
    if (!IsTemporary(path)) return false;
    report_.notes.push_back(
        {Kind::kLeftover, path, "not finished",
         "nothing while a server is writing it; otherwise weft-coordinator repair removes it"});
    return true;
  }

  void CheckInputs() {
    const absl::StatusOr<Identity> identity = LoadIdentity(paths_.kit());
    if (!identity.ok()) {
      Problem(Kind::kInput, paths_.kit(), std::string(identity.status().message()),
              "put the coordinator's identity kit there, or a new link to it; until then no "
              "signature can be checked");
    }
    absl::StatusOr<RunManifest> manifest = ReadManifestToPlan(paths_.manifest());
    absl::Status signatures = manifest.status();
    if (identity.ok() && manifest.ok()) {
      signatures = LoadSignedManifest(paths_.manifest(), identity->authorities).status();
    }
    if (!signatures.ok()) {
      Problem(Kind::kInput, paths_.manifest(), std::string(signatures.message()),
              "put back the signed manifest that the sites accepted: any of them has it");
    }
    if (identity.ok()) {
      const auto membership = LoadSignedMembership(paths_.membership(), identity->authorities);
      if (!membership.ok()) {
        Problem(Kind::kInput, paths_.membership(), std::string(membership.status().message()),
                "put back the newest signed membership; until then the one in the state holds");
      }
    }
    if (!manifest.ok()) return;
    absl::StatusOr<ParameterLayout> layout = TransformerLayout(manifest->model());
    if (layout.ok()) layout_ = *std::move(layout);
    const std::string tokenizer = paths_.tokenizer() + "/tokenizer.model";
    const absl::StatusOr<Digest> digest = Sha256OfFile(tokenizer);
    if (!digest.ok() || ToHex(*digest) != manifest->tokenizer_sha256()) {
      Problem(Kind::kInput, tokenizer,
              digest.ok() ? absl::StrCat("SHA-256 is ", ToHex(*digest), ", the manifest says ",
                                         manifest->tokenizer_sha256())
                          : std::string(digest.status().message()),
              "copy it from the initial model or from a release");
    }
  }

  void CheckState() {
    const auto store = RocksDbRoundStore::Open(paths_.state(), RocksDbRoundStore::Mode::kReadOnly);
    absl::Status status = store.status();
    if (status.ok()) status = (*store)->VerifyFiles();
    if (status.ok()) status = (*store)->Rounds().status();
    if (status.ok()) status = (*store)->Reports().status();
    if (status.ok()) {
      absl::StatusOr<RoundState> state = (*store)->LoadState();
      status = state.status();
      if (state.ok()) state_ = *std::move(state);
    }
    if (!status.ok()) {
      return Problem(Kind::kState, paths_.state(), std::string(status.message()), kBackup);
    }
    NoteNeeded();
    CheckAudit(**store);
  }

  // Audit() itself compares every record with the hash in the one after it.
  void CheckAudit(const RoundStore& store) {
    const auto records = store.Audit(std::numeric_limits<uint64_t>::max());
    if (!records.ok()) {
      return Problem(Kind::kAudit, paths_.state(), std::string(records.status().message()),
                     kBackup);
    }
    report_.audit_record_count = records->size();
    for (size_t i = 0; i < records->size(); ++i) {
      if ((*records)[i].sequence() == i) continue;
      return Problem(Kind::kAudit, paths_.state(),
                     absl::StrCat("audit record ", i, " is missing: the chain goes on with ",
                                  (*records)[i].sequence()),
                     kBackup);
    }
    if (!records->empty() && records->front().previous_sha256() != ToBytes(Digest{})) {
      Problem(Kind::kAudit, paths_.state(), "audit record 0 names one before it", kBackup);
    }
  }

  // Whether the blob's content is what its name says. One that vanishes under our eyes is no
  // damage: whether it is missed is asked of the state.
  bool VerifyBlob(Kind kind, const std::string& path, const Digest& digest,
                  const std::string& to_do) {
    const absl::Status status = VerifyBlobFile(path, digest);
    if (absl::IsNotFound(status)) return false;
    std::error_code error;
    ++report_.blob_count;
    if (const uint64_t bytes = fs::file_size(path, error); !error) report_.blob_bytes += bytes;
    if (status.ok()) return true;
    Problem(kind, path, std::string(status.message()), to_do, ToHex(digest));
    return false;
  }

  void CheckVectors() {
    for (const std::string& path : Entries(paths_.blobs())) {
      if (NoteIfTemporary(path)) continue;
      const absl::StatusOr<Digest> digest = DigestFromHex(NameOf(path));
      if (!digest.ok()) continue;
      const bool needed = !state_.has_value() || vectors_.count(*digest) > 0;
      if (!VerifyBlob(needed ? Kind::kVector : Kind::kLeftover, path, *digest, kRepair)) {
        damaged_.insert(*digest);
        continue;
      }
      present_.insert(*digest);
      if (!needed) {
        report_.notes.push_back({Kind::kLeftover, path, "nothing names it",
                                 "nothing: the server removes it", ToHex(*digest)});
      } else if (const std::string what = LayoutProblem(path); !what.empty()) {
        Problem(Kind::kVector, path, what, kBackup, ToHex(*digest));
      }
    }
  }

  std::string LayoutProblem(const std::string& path) {
    const absl::StatusOr<VectorReader> reader = VectorReader::Open(path);
    if (absl::IsNotFound(reader.status())) return "";
    if (!reader.ok()) return std::string(reader.status().message());
    if (!layout_.has_value() || reader->header().layout == layout_->digest()) return "";
    return absl::StrCat("its parameter layout is ", ToHex(reader->header().layout),
                        ", the manifest's is ", ToHex(layout_->digest()));
  }

  void CheckContributions() {
    for (const std::string& round : Entries(paths_.contributions())) {
      for (const std::string& path : Entries(round)) {
        if (NoteIfTemporary(path)) continue;
        const absl::StatusOr<Digest> digest = DigestFromHex(NameOf(path));
        if (!digest.ok()) continue;
        const bool needed = contributions_.count(*digest) > 0;
        const bool good =
            VerifyBlob(needed ? Kind::kContribution : Kind::kKept, path, *digest,
                       needed ? kBackup : "that round cannot be recomputed; keep the others");
        (good ? present_ : damaged_).insert(*digest);
      }
    }
  }

  void CheckKept() {
    for (const std::string& round : Entries(paths_.kept())) {
      if (NoteIfTemporary(round)) continue;
      const char to_do[] = "that round cannot be recomputed here; other copies may be whole";
      const absl::StatusOr<KeptStep> step = ReadKeptStep(round);
      if (!step.ok()) Problem(Kind::kKept, round, std::string(step.status().message()), to_do);
      for (const std::string& path : Entries(round)) {
        if (NoteIfTemporary(path)) continue;
        const absl::StatusOr<Digest> digest = DigestFromHex(NameOf(path));
        if (digest.ok()) VerifyBlob(Kind::kKept, path, *digest, to_do);
      }
    }
  }

  void CheckReleases() {
    for (const std::string& path : Entries(paths_.releases())) {
      if (NoteIfTemporary(path)) continue;
      ++report_.release_count;
      for (const std::string& what : CheckRelease(path)) {
        Problem(Kind::kRelease, path, what, absl::StrCat(kRepair, ", or copy it from a mirror"));
      }
    }
  }

  void CheckNamedByState() {
    for (const auto& [digest, round] : contributions_) {
      if (present_.count(digest) > 0 || damaged_.count(digest) > 0) continue;
      Problem(Kind::kContribution, absl::StrCat(paths_.contributions_of(round), "/", ToHex(digest)),
              "missing: a site has a receipt for it, and the round counts on it", kBackup,
              ToHex(digest));
    }
    for (const Digest& digest : vectors_) {
      if (present_.count(digest) > 0 || damaged_.count(digest) > 0) continue;
      const bool consensus = state_->consensus().digest() == ToBytes(digest);
      Problem(Kind::kVector, absl::StrCat(paths_.blobs(), "/", ToHex(digest)),
              consensus ? "missing: it is the current consensus" : "missing: the state names it",
              kRepair, ToHex(digest));
    }
  }

  // What the state counts on, by the rule that the server removes the others by.
  void NoteNeeded() {
    for (const std::string& bytes : FindNeededFiles(paths_, *state_).vectors) {
      if (const auto digest = DigestFromBytes(bytes); digest.ok()) vectors_.insert(*digest);
    }
    const auto note = [this](const StoredContribution& c) {
      const auto digest = DigestFromBytes(c.digest());
      if (digest.ok()) contributions_[*digest] = c.round();
    };
    for (const StoredContribution& c : state_->carried()) note(c);
    for (const StoredContribution& c : state_->current().contributions()) note(c);
  }

  const RunPaths paths_;
  CheckReport report_;
  std::optional<ParameterLayout> layout_;
  std::optional<RoundState> state_;
  std::set<Digest> vectors_;                  // that the state names
  std::map<Digest, uint64_t> contributions_;  // that it counts on, and their round
  std::set<Digest> present_, damaged_;
};

// What has to be the same before and after a look for its findings to count: empty if unreadable.
std::set<Digest> Named(const RunPaths& paths) {
  const auto store = RocksDbRoundStore::Open(paths.state(), RocksDbRoundStore::Mode::kReadOnly);
  if (!store.ok()) return {};
  const absl::StatusOr<RoundState> state = (*store)->LoadState();
  return state.ok() ? NamedDigests(*state) : std::set<Digest>();
}

nlohmann::ordered_json AsJson(const std::vector<Finding>& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"kind", FindingName(finding.kind)},
                    {"path", finding.path},
                    {"what", finding.what},
                    {"to_do", finding.to_do}});
  }
  return list;
}

}  // namespace

const char* FindingName(Kind kind) {
  constexpr const char* kNames[] = {"input",        "state", "audit",   "vector",
                                    "contribution", "kept",  "release", "leftover"};
  return kNames[static_cast<int>(kind)];
}

std::vector<std::string> CheckRelease(const std::string& folder) {
  const absl::StatusOr<std::string> sums = ReadWholeFile(folder + "/SHA256SUMS");
  if (!sums.ok()) return {std::string(sums.status().message())};
  std::vector<std::string> problems;
  std::set<std::string> listed = {"SHA256SUMS"};
  for (const auto line : absl::StrSplit(*sums, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(line, absl::MaxSplits("  ", 1));
    if (parts.second.empty() || absl::StrContains(parts.second, "/")) {
      problems.push_back(absl::StrCat(folder, "/SHA256SUMS: \"", line, "\" is no line of it"));
      continue;
    }
    listed.insert(parts.second);
    const std::string path = absl::StrCat(folder, "/", parts.second);
    const absl::StatusOr<Digest> digest = Sha256OfFile(path);
    if (!digest.ok()) {
      problems.push_back(std::string(digest.status().message()));
    } else if (ToHex(*digest) != parts.first) {
      problems.push_back(
          absl::StrCat(path, ": SHA-256 is ", ToHex(*digest), ", SHA256SUMS says ", parts.first));
    }
  }
  for (const std::string& path : Entries(folder)) {
    if (listed.count(NameOf(path)) == 0) {
      problems.push_back(absl::StrCat(path, ": SHA256SUMS does not list it"));
    }
  }
  return problems;
}

absl::Status VerifyBlobFile(const std::string& path, const Digest& digest) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoStatus("cannot open", path);
  BlobHasher hasher;
  std::string buffer(kChunkBytes, '\0');
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         file.gcount() > 0) {
    hasher.Update({buffer.data(), static_cast<size_t>(file.gcount())});
  }
  if (file.bad()) return absl::DataLossError(absl::StrCat(path, ": cannot be read to its end"));
  const Digest got = hasher.Finish();
  if (got == digest) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("damaged: its content has the digest ", ToHex(got),
                                          ", not the one it is named by"));
}

absl::StatusOr<CheckReport> CheckDirectory(const std::string& folder) {
  const RunPaths paths{folder};
  if (!fs::exists(paths.manifest()) && !fs::exists(paths.state())) {
    return absl::NotFoundError(
        absl::StrCat(folder,
                     ": no coordinator's directory is here; make it with weft-coordinator "
                     "init"));
  }
  CheckReport report;
  for (int look = 0; look < kLooksMax; ++look) {
    const std::set<Digest> before = Named(paths);
    report = DirectoryCheck(folder).Run();
    if (report.problems.empty() || Named(paths) == before) break;
  }
  return report;
}

std::string PrintCheckReport(const std::string& folder, const CheckReport& report, bool as_json) {
  if (as_json) {
    const nlohmann::ordered_json json = {{"directory", folder},
                                         {"sound", report.problems.empty()},
                                         {"problems", AsJson(report.problems)},
                                         {"notes", AsJson(report.notes)},
                                         {"blobs", report.blob_count},
                                         {"blob_bytes", report.blob_bytes},
                                         {"audit_records", report.audit_record_count},
                                         {"releases", report.release_count}};
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  std::string text;
  const auto add = [&text](const char* word, const Finding& finding) {
    absl::StrAppend(&text, word, " (", FindingName(finding.kind), ") ", finding.path, "\n  ",
                    finding.what, "\n  to do: ", finding.to_do, "\n");
  };
  for (const Finding& finding : report.problems) add("PROBLEM", finding);
  for (const Finding& finding : report.notes) add("note", finding);
  absl::StrAppend(&text, folder, ": ", report.blob_count, " blobs (", report.blob_bytes,
                  " bytes), ", report.audit_record_count, " audit records, ", report.release_count,
                  " releases read: ",
                  report.problems.empty() ? std::string("sound")
                                          : absl::StrCat(report.problems.size(), " problems"),
                  "\n");
  return text;
}

}  // namespace weft
