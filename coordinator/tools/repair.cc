#include "coordinator/tools/repair.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "coordinator/server/kept_step.h"
#include "coordinator/server/release_publisher.h"
#include "coordinator/server/run_folder.h"
#include "coordinator/store/rocksdb_round_store.h"
#include "coordinator/tools/named_digests.h"
#include "coordinator/tools/recompute.h"
#include "coordinator/tools/run_plan.h"
#include "model/formats/huggingface.h"
#include "model/formats/safetensors.h"
#include "model/parameters/parameter_codec.h"
#include "nlohmann/json.hpp"
#include "proto/durable_file.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

using Kind = Finding::Kind;

std::vector<std::string> Folders(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory(error)) paths.push_back(entry.path().string());
  }
  std::sort(paths.rbegin(), paths.rend());  // newest first
  return paths;
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return ErrnoStatus("cannot move to", to);
  return SyncDirectory(fs::path(to).parent_path().string());
}

class Repair {
 public:
  Repair(RunPaths paths, RocksDbRoundStore* store, RunManifest manifest, ParameterLayout layout)
      : paths_(std::move(paths)),
        store_(store),
        manifest_(std::move(manifest)),
        layout_(std::move(layout)),
        scratch_(absl::StrCat(paths_.folder, "/repair", kTemporarySuffix)) {}

  ~Repair() {
    std::error_code error;
    fs::remove_all(scratch_, error);
  }

  absl::Status Run(const CheckReport& found) {
    absl::StatusOr<RoundState> state = store_->LoadState();
    if (!state.ok()) return state.status();
    state_ = *std::move(state);
    absl::Status status = RemoveLeftovers(found.notes);
    if (status.ok()) status = RemoveLeftovers(found.problems);
    if (status.ok()) status = RemoveUnbegunPushes();
    for (const Finding& finding : found.problems) {
      if (!status.ok()) break;
      if (finding.kind == Kind::kVector && !finding.digest.empty()) status = RestoreVector(finding);
    }
    std::string last_release;
    for (const Finding& finding : found.problems) {
      if (!status.ok()) break;
      if (finding.kind != Kind::kRelease || finding.path == last_release) continue;
      last_release = finding.path;
      status = RestoreRelease(finding.path);
    }
    return status;
  }
  std::vector<std::string> done() && { return std::move(done_); }

 private:
  absl::Status Remove(const std::string& path, const std::string& why) {
    std::error_code error;
    const bool removed = fs::remove_all(path, error) > 0;
    if (error) {
      return absl::ErrnoToStatus(error.value(), absl::StrCat(path, ": cannot be removed"));
    }
    if (removed) done_.push_back(absl::StrCat("removed ", path, ": ", why));
    return absl::OkStatus();
  }

  absl::Status RemoveLeftovers(const std::vector<Finding>& findings) {
    for (const Finding& finding : findings) {
      if (finding.kind != Kind::kLeftover) continue;
      if (absl::Status status = Remove(finding.path, finding.what); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // A push of which not even the head is there: nothing of it was promised.
  absl::Status RemoveUnbegunPushes() {
    for (const std::string& path : Folders(paths_.spool())) {
      if (fs::exists(path + "/head") && fs::exists(path + "/data")) continue;
      if (absl::Status status = Remove(path, "a push that had not begun"); !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

  // An empty folder for what is being made; whatever it ends with is proved before it is moved.
  absl::StatusOr<BlobDirectory> NewScratch() {
    std::error_code error;
    fs::remove_all(scratch_, error);
    return BlobDirectory::Open(scratch_);
  }

  absl::Status RestoreVector(const Finding& finding) {
    const Digest digest = *DigestFromHex(finding.digest);
    const absl::StatusOr<std::string> from = MakeAgain(digest);
    if (!from.ok()) return from.status();
    if (!from->empty()) {
      const std::string to = absl::StrCat(paths_.blobs(), "/", finding.digest);
      absl::Status status = Rename(absl::StrCat(scratch_, "/", finding.digest), to);
      if (!status.ok()) return status;
      done_.push_back(absl::StrCat("made ", to, " again from ", *from, ": the digest is the same"));
      return absl::OkStatus();
    }
    if (state_.consensus().delta_digest() == ToBytes(digest)) return GiveUpDelta(finding.path);
    return absl::OkStatus();
  }

  // Where the blob came from, now in the scratch folder and proved; empty: it cannot be made.
  absl::StatusOr<std::string> MakeAgain(const Digest& digest) {
    const std::string made = absl::StrCat(scratch_, "/", ToHex(digest));
    const auto proved = [&] { return VerifyBlobFile(made, digest).ok(); };
    absl::StatusOr<BlobDirectory> scratch = NewScratch();
    if (!scratch.ok()) return scratch.status();
    for (const std::string& round : Folders(paths_.kept())) {
      const std::string copy = absl::StrCat(round, "/", ToHex(digest));
      std::error_code error;
      if (VerifyBlobFile(copy, digest).ok() && fs::copy_file(copy, made, error) && proved()) {
        return copy;
      }
    }
    std::vector<ConsensusVersion> versions = {state_.consensus(), state_.last_good()};
    versions.insert(versions.end(), state_.older().begin(), state_.older().end());
    for (const ConsensusVersion& version : versions) {
      if (version.digest() != ToBytes(digest)) continue;
      const std::string release = ReleaseFolder(paths_.releases(), version.version());
      absl::StatusOr<bool> written = VectorOfRelease(release, *scratch, digest);
      if (!written.ok()) return written.status();
      if (*written) return release;
    }
    for (const std::string& round : Folders(paths_.kept())) {
      const absl::StatusOr<KeptStep> step = ReadKeptStep(round);
      if (!step.ok() || NamedDigests(step->result()).count(digest) == 0) continue;
      if (!MissingInputs(paths_, step->record(), *step).empty()) continue;
      scratch = NewScratch();
      if (!scratch.ok()) return scratch.status();
      const auto result = RepeatOuterStep(paths_, manifest_, *step, *scratch);
      if (!result.ok()) return result.status();
      if (proved()) return absl::StrCat("the outer step of round ", step->record().round());
    }
    return std::string();
  }

  // The vector of a release's model into `to`; false: it is not there, or not the one that is
  // meant.
  absl::StatusOr<bool> VectorOfRelease(const std::string& release, const BlobDirectory& to,
                                       const Digest& wanted) {
    const std::vector<std::string> files = {release + "/model.safetensors"};
    const absl::StatusOr<ParameterVector> vector = ReadSafetensors(files, layout_);
    if (!vector.ok()) return false;
    VectorHeader header;
    header.element_count = layout_.element_count();
    header.layout = layout_.digest();
    const absl::StatusOr<Digest> digest = WriteVector(to, header, vector->span(), {});
    if (absl::IsInvalidArgument(digest.status())) return false;  // damage made it not finite
    if (!digest.ok()) return digest.status();
    return *digest == wanted;
  }

  // Without it the state is as whole as one whose run sends every consensus whole.
  absl::Status GiveUpDelta(const std::string& path) {
    const std::string digest = state_.consensus().delta_digest();
    std::vector<ConsensusVersion*> versions = {state_.mutable_consensus()};
    if (state_.has_last_good()) versions.push_back(state_.mutable_last_good());
    for (ConsensusVersion* version : versions) {
      if (version->delta_digest() != digest) continue;
      version->clear_delta_digest();
      version->clear_delta_bytes();
      version->clear_delta_base_digest();
    }
    Record record;
    record.decision.set_code(Decision::DIRECTORY_REPAIRED);
    record.decision.set_round(state_.current().round());
    record.decision.set_reason(
        "the encoded change of the consensus was lost: sites fetch this version whole");
    const std::vector<Effect> effects = {record};
    if (absl::Status status = store_->Commit(state_, effects); !status.ok()) return status;
    done_.push_back(record.decision.reason());
    return Remove(path, "damaged, and needed no more");
  }

  // Hex digest of a version as the run's records name it; empty: no record does, or several
  // consensuses had that number, because one was refused.
  absl::StatusOr<std::string> DigestOfVersion(uint64_t version) const {
    if (version == 0) return manifest_.initial_consensus();
    const absl::StatusOr<std::vector<RoundRecord>> rounds = store_->Rounds();
    if (!rounds.ok()) return rounds.status();
    std::string digest;
    for (const RoundRecord& round : *rounds) {
      if (round.base_version() + 1 != version || round.result_digest().empty()) continue;
      const absl::StatusOr<Digest> result = DigestFromBytes(round.result_digest());
      if (!result.ok()) return result.status();
      if (!digest.empty() && digest != ToHex(*result)) return std::string();
      digest = ToHex(*result);
    }
    return digest;
  }

  absl::StatusOr<Release> ReleaseOf(uint64_t version, const std::string& digest,
                                    const std::string& vector_path) const {
    Release release{.version = version,
                    .digest = digest,
                    .vector_path = vector_path,
                    .layout_digest = manifest_.layout_digest()};
    absl::StatusOr<std::vector<RoundRecord>> rounds = store_->Rounds();
    if (!rounds.ok()) return rounds.status();
    absl::StatusOr<std::vector<SiteReport>> reports = store_->Reports();
    if (!reports.ok()) return reports.status();
    uint64_t rounds_end = 0;
    for (RoundRecord& round : *rounds) {
      if (round.base_version() >= version) continue;
      rounds_end = round.round() + 1;
      release.rounds.push_back(std::move(round));
    }
    for (SiteReport& report : *reports) {
      if (report.report().round() < rounds_end) release.reports.push_back(std::move(report));
    }
    return release;
  }

  absl::Status RestoreRelease(const std::string& folder) {
    const std::string name = fs::path(folder).filename().string();
    uint64_t version = 0;
    if (!absl::SimpleAtoi(absl::StripPrefix(name, "round-"), &version)) return absl::OkStatus();
    const absl::StatusOr<std::string> hex = DigestOfVersion(version);
    if (!hex.ok()) return hex.status();
    const absl::StatusOr<Digest> digest = DigestFromHex(*hex);
    if (!digest.ok()) return absl::OkStatus();
    const absl::StatusOr<BlobDirectory> scratch = NewScratch();
    if (!scratch.ok()) return scratch.status();
    std::string vector = absl::StrCat(paths_.blobs(), "/", *hex);
    if (!VerifyBlobFile(vector, *digest).ok()) {
      absl::StatusOr<std::string> from = MakeAgain(*digest);
      if (!from.ok()) return from.status();
      if (from->empty()) {
        const absl::StatusOr<bool> own = VectorOfRelease(folder, *scratch, *digest);
        if (!own.ok()) return own.status();
        if (!*own)
          return absl::OkStatus();  // stays as it is, and is told as a problem that is left
      }
      vector = absl::StrCat(scratch_, "/", *hex);
    }
    const absl::StatusOr<Release> release = ReleaseOf(version, *hex, vector);
    if (!release.ok()) return release.status();
    const absl::StatusOr<std::string> text = ManifestText();
    if (!text.ok()) return text.status();
    absl::Status status =
        WriteRelease(scratch_ + "/releases", manifest_, *text, paths_.tokenizer(), *release);
    const std::string damaged = absl::StrCat(folder, ".damaged", kTemporarySuffix);
    if (status.ok()) status = Rename(folder, damaged);
    if (status.ok()) status = Rename(ReleaseFolder(scratch_ + "/releases", version), folder);
    if (!status.ok()) return status;
    done_.push_back(absl::StrCat("made ", folder, " again from the consensus ", *hex));
    return Remove(damaged, "it was damaged, and is made again");
  }

  // As it was signed: releases carry it byte for byte.
  absl::StatusOr<std::string> ManifestText() const {
    const absl::StatusOr<Identity> identity = LoadIdentity(paths_.kit());
    if (!identity.ok()) return identity.status();
    auto manifest = LoadSignedManifest(paths_.manifest(), identity->authorities);
    if (!manifest.ok()) return manifest.status();
    return std::move(manifest->bytes);
  }

  const RunPaths paths_;
  RocksDbRoundStore* const store_;
  const RunManifest manifest_;
  const ParameterLayout layout_;
  const std::string scratch_;
  RoundState state_;
  std::vector<std::string> done_;
};

// The database is read against its checksums before anything opens it to write.
absl::StatusOr<std::unique_ptr<RocksDbRoundStore>> OpenSoundStore(const RunPaths& paths) {
  {
    const auto reader = RocksDbRoundStore::Open(paths.state(), RocksDbRoundStore::Mode::kReadOnly);
    if (!reader.ok()) return reader.status();
    if (absl::Status status = (*reader)->VerifyFiles(); !status.ok()) return status;
  }
  return RocksDbRoundStore::Open(paths.state(), RocksDbRoundStore::Mode::kServe);
}

}  // namespace

absl::StatusOr<RepairReport> RepairDirectory(const std::string& folder) {
  const RunPaths paths{folder};
  const auto store = OpenSoundStore(paths);  // nobody serves while we hold it
  if (!store.ok()) return store.status();
  const absl::StatusOr<RunManifest> manifest = ReadManifestToPlan(paths.manifest());
  if (!manifest.ok()) return manifest.status();
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(manifest->model());
  if (!layout.ok()) return layout.status();
  const absl::StatusOr<CheckReport> found = CheckDirectory(folder);
  if (!found.ok()) return found.status();
  RepairReport report;
  {
    Repair repair(paths, store->get(), *manifest, *std::move(layout));
    if (absl::Status status = repair.Run(*found); !status.ok()) return status;
    report.done = std::move(repair).done();
  }
  absl::StatusOr<CheckReport> left = CheckDirectory(folder);
  if (!left.ok()) return left.status();
  report.left = *std::move(left);
  return report;
}

std::string PrintRepairReport(const std::string& folder, const RepairReport& report, bool as_json) {
  if (as_json) {
    nlohmann::ordered_json json = {{"done", report.done}};
    json["left"] =
        nlohmann::ordered_json::parse(PrintCheckReport(folder, report.left, /*as_json=*/true));
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  std::string text;
  for (const std::string& line : report.done) absl::StrAppend(&text, line, "\n");
  if (report.done.empty()) text = "nothing was to be done\n";
  return text + PrintCheckReport(folder, report.left, /*as_json=*/false);
}

}  // namespace weft
