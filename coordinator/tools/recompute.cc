#include "coordinator/tools/recompute.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/server/kept_step.h"
#include "coordinator/server/outer_step.h"
#include "coordinator/store/rocksdb_round_store.h"
#include "coordinator/tools/directory_check.h"
#include "coordinator/tools/named_digests.h"
#include "coordinator/tools/run_plan.h"
#include "nlohmann/json.hpp"
#include "ops/manifest.h"
#include "proto/durable_file.h"
#include "proto/signed_statement.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

// A folder of this process's own, removed with everything in it.
class Scratch {
 public:
  static absl::StatusOr<std::unique_ptr<Scratch>> Create(const std::string& parent) {
    std::string pattern =
        (parent.empty() ? fs::temp_directory_path().string() : parent) + "/weft-recompute-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) return ErrnoStatus("cannot make a folder", pattern);
    return std::unique_ptr<Scratch>(new Scratch(pattern));
  }
  ~Scratch() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  const std::string& path() const { return path_; }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// The digests that an outer step reads besides contributions.
std::vector<std::string> InputVectors(const KeptStep& step) {
  std::vector<std::string> digests = {step.base().digest()};
  for (const std::string& state :
       {step.base().momentum_digest(), step.base().second_moment_digest(),
        step.base().residual_digest()}) {
    if (!state.empty()) digests.push_back(state);
  }
  return digests;
}

void AddIfBad(const std::string& path, const std::string& what, const std::string& digest,
              std::vector<std::string>* missing) {
  const absl::StatusOr<Digest> wanted = DigestFromBytes(digest);
  const absl::Status status = wanted.ok() ? VerifyBlobFile(path, *wanted) : wanted.status();
  if (status.ok()) return;
  missing->push_back(absl::StrCat(
      what, " ", path, absl::IsNotFound(status) ? ": is not there" : ": ",
      absl::IsNotFound(status) ? absl::string_view() : absl::string_view(status.message())));
}

// The receipt of what counted; a late contribution was signed for an older base.
absl::StatusOr<Receipt> FindReceiptOf(const RoundStore& store, const RoundRecord& record,
                                      const StoredContribution& c) {
  for (uint64_t version = record.base_version() + 1; version-- > 0;) {
    const auto receipt = store.FindReceipt(c.site(), version, 0);
    if (!receipt.ok()) return receipt.status();
    if (receipt->has_value() && (*receipt)->digest() == c.digest()) return **receipt;
  }
  return absl::NotFoundError(absl::StrCat("no receipt of ", c.site(), " is for what counted"));
}

// Whether the site signed exactly this contribution.
std::string SignatureProblem(const RoundStore& store, const RoundState& state,
                             const RoundRecord& record, const StoredContribution& c) {
  const absl::StatusOr<Receipt> receipt = FindReceiptOf(store, record, c);
  if (!receipt.ok()) return std::string(receipt.status().message());
  const auto statement =
      ParseSignedStatement(receipt->signed_contribution(), c.site() + "'s contribution");
  if (!statement.ok()) return std::string(statement.status().message());
  Contribution contribution;
  if (!contribution.ParseFromString(statement->payload) ||
      contribution.blob_digest() != c.digest()) {
    return absl::StrCat("what ", c.site(), " signed is not the contribution that counted");
  }
  const MemberSite* member = FindMember(state.membership(), c.site());
  if (member == nullptr) return absl::StrCat(c.site(), " is not in the membership any more");
  const std::vector<std::string> keys = {member->public_key()};
  const absl::Status status = Verify(*statement, kContributionType, keys, 1);
  return status.ok() ? "" : absl::StrCat(c.site(), ": ", status.message());
}

absl::StatusOr<RoundRecord> FindRound(const RoundStore& store, uint64_t round) {
  const absl::StatusOr<std::vector<RoundRecord>> rounds = store.Rounds();
  if (!rounds.ok()) return rounds.status();
  for (const RoundRecord& record : *rounds) {
    if (record.round() == round) return record;
  }
  return absl::NotFoundError(
      absl::StrCat("round ", round, " is not over: ", rounds->size(), " rounds are recorded"));
}

void Compare(const char* what, const std::string& kept, const std::string& computed,
             std::vector<std::string>* differences) {
  if (kept == computed) return;
  differences->push_back(absl::StrCat(what, ": ", Hex(computed), ", recorded was ", Hex(kept)));
}

}  // namespace

std::vector<std::string> MissingInputs(const RunPaths& paths, const RoundRecord& record,
                                       const KeptStep& step) {
  const std::string folder = paths.kept_of(record.round());
  std::vector<std::string> missing;
  for (const std::string& digest : InputVectors(step)) {
    AddIfBad(absl::StrCat(folder, "/", Hex(digest)),
             digest == step.base().digest() ? "the base" : "the outer state", digest, &missing);
  }
  for (const StoredContribution& c : record.contributions()) {
    AddIfBad(absl::StrCat(paths.contributions_of(record.round()), "/", Hex(c.digest())),
             absl::StrCat(c.site(), "'s contribution"), c.digest(), &missing);
  }
  return missing;
}

absl::StatusOr<ConsensusVersion> RepeatOuterStep(const RunPaths& paths, const RunManifest& manifest,
                                                 const KeptStep& step, const BlobDirectory& to) {
  const uint64_t round = step.record().round();
  for (const Digest& digest : NamedDigests(step)) {
    const std::string from =
        absl::StrCat(fs::absolute(paths.kept_of(round)).string(), "/", ToHex(digest));
    if (to.Has(digest) || !fs::exists(from)) continue;
    if (symlink(from.c_str(), to.PathOf(digest).c_str()) != 0) {
      return ErrnoStatus("cannot link", to.PathOf(digest));
    }
  }
  const auto down =
      FormatFromName(manifest.encodings().down(), manifest.encodings().topk_density());
  if (!down.ok()) return down.status();
  const auto contributions = BlobDirectory::Open(paths.contributions_of(round));
  if (!contributions.ok()) return contributions.status();
  OuterStepOptions options;
  options.scheme = manifest.consensus();
  options.down = *down;
  options.vectors = &to;
  options.contributions = &*contributions;
  absl::StatusOr<OuterStepResult> computed = ComputeOuterStep(options, step.base(), step.record());
  if (!computed.ok()) return computed.status();
  return std::move(computed->next);
}

absl::StatusOr<Recomputed> RecomputeRound(const std::string& folder, uint64_t round,
                                          const std::string& scratch) {
  const RunPaths paths{folder};
  const absl::StatusOr<RunManifest> manifest = ReadManifestToPlan(paths.manifest());
  if (!manifest.ok()) return manifest.status();
  const auto store = RocksDbRoundStore::Open(paths.state(), RocksDbRoundStore::Mode::kReadOnly);
  if (!store.ok()) return store.status();
  const absl::StatusOr<RoundState> state = (*store)->LoadState();
  if (!state.ok()) return state.status();
  const absl::StatusOr<RoundRecord> record = FindRound(**store, round);
  if (!record.ok()) return record.status();
  if (record->contributions_size() == 0 || record->result_digest().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("round ", round, " made no consensus: there is nothing to recompute"));
  }
  absl::StatusOr<KeptStep> step = ReadKeptStep(paths.kept_of(round));
  if (absl::IsNotFound(step.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "round ", round, " cannot be recomputed: ", paths.kept_of(round),
        " is not there. Its base "
        "and its contributions are kept only while the server runs with --keep-contributions"));
  }
  if (!step.ok()) return step.status();
  // What counted, and with which weight, is told by the record; the kept step adds the outer state.
  if (step->base().digest() != record->base_digest()) {
    return absl::DataLossError(absl::StrCat(paths.kept_of(round), ": names the base ",
                                            Hex(step->base().digest()), ", the round's record ",
                                            Hex(record->base_digest())));
  }
  *step->mutable_record() = *record;
  std::vector<std::string> missing = MissingInputs(paths, *record, *step);
  if (!missing.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("round ", round, " cannot be recomputed:\n  ",
                                                      absl::StrJoin(missing, "\n  ")));
  }
  Recomputed result{.round = round, .recorded = Hex(record->result_digest())};
  for (const StoredContribution& c : record->contributions()) {
    result.sites.push_back(c.site());
    const std::string problem = SignatureProblem(**store, *state, *record, c);
    if (!problem.empty()) result.differences.push_back(problem);
  }
  const auto place = Scratch::Create(scratch);
  if (!place.ok()) return place.status();
  const absl::StatusOr<BlobDirectory> vectors = BlobDirectory::Open((*place)->path());
  if (!vectors.ok()) return vectors.status();
  const auto computed = RepeatOuterStep(paths, *manifest, *step, *vectors);
  if (!computed.ok()) return computed.status();
  result.computed = Hex(computed->digest());
  Compare("momentum", step->result().momentum_digest(), computed->momentum_digest(),
          &result.differences);
  Compare("second moment", step->result().second_moment_digest(), computed->second_moment_digest(),
          &result.differences);
  Compare("residual", step->result().residual_digest(), computed->residual_digest(),
          &result.differences);
  Compare("encoded change", step->result().delta_digest(), computed->delta_digest(),
          &result.differences);
  return result;
}

std::string PrintRecomputed(const Recomputed& result, bool as_json) {
  if (as_json) {
    const nlohmann::ordered_json json = {{"round", result.round},
                                         {"sites", result.sites},
                                         {"recorded_digest", result.recorded},
                                         {"computed_digest", result.computed},
                                         {"differences", result.differences},
                                         {"same", result.same()}};
    return json.dump(2) + "\n";
  }
  std::string text =
      absl::StrCat("round ", result.round, " from ", absl::StrJoin(result.sites, ", "),
                   "\n  recorded ", result.recorded, "\n  computed ", result.computed, "\n");
  for (const std::string& difference : result.differences) {
    absl::StrAppend(&text, "  differs: ", difference, "\n");
  }
  absl::StrAppend(&text, result.same() ? "the same\n" : "NOT the same\n");
  return text;
}

}  // namespace weft
