#include "coordinator/server/run_folder.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/core/aggregator.h"
#include "coordinator/core/outer_optimizer.h"
#include "coordinator/core/round_machine.h"
#include "coordinator/store/rocksdb_round_store.h"
#include "model/formats/huggingface.h"
#include "model/parameters/fragment_range.h"
#include "model/parameters/fragments.h"
#include "model/parameters/parameter_codec.h"
#include "proto/digest.h"
#include "proto/durable_file.h"
#include "proto/round_schedule.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

absl::Status CopyFile(const std::string& from, const std::string& to) {
  const absl::StatusOr<std::string> bytes = ReadWholeFile(from);
  return bytes.ok() ? WriteFileDurably(to, *bytes) : bytes.status();
}

// The initial model must be the one that every site accepted by the manifest's digests.
absl::Status CheckInitial(const RunManifest& manifest, const HuggingFaceModel& model,
                          const std::string& folder) {
  if (PrintHuggingFaceConfig(model.config) != PrintHuggingFaceConfig(manifest.model())) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, "/config.json: describes another model than the manifest"));
  }
  if (ToHex(model.layout.digest()) != manifest.layout_digest()) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": its layout is ", ToHex(model.layout.digest()),
                     ", the manifest says ", manifest.layout_digest()));
  }
  const absl::StatusOr<Digest> tokenizer = Sha256OfFile(folder + "/tokenizer.model");
  if (!tokenizer.ok()) return tokenizer.status();
  if (ToHex(*tokenizer) != manifest.tokenizer_sha256()) {
    return absl::InvalidArgumentError(absl::StrCat(folder, "/tokenizer.model: SHA-256 is ",
                                                   ToHex(*tokenizer), ", the manifest says ",
                                                   manifest.tokenizer_sha256()));
  }
  return absl::OkStatus();
}

// What the programs of this coordinator can do with the manifest.
absl::Status CheckRules(const RunManifest& manifest) {
  absl::Status status = FindRule(manifest.consensus().combine()).status();
  if (status.ok()) status = MakeOuterUpdate(manifest.consensus().outer()).status();
  const Encodings& encodings = manifest.encodings();
  for (const std::string& name : {encodings.up(), encodings.down()}) {
    if (status.ok()) status = FormatFromName(name, encodings.topk_density()).status();
  }
  return status;
}

ConsensusVersion VersionOf(const Digest& digest, uint64_t element_count) {
  ConsensusVersion version;
  version.set_digest(ToBytes(digest));
  version.set_bytes(EncodedBytes(Encoding::kParametersFp32, element_count));
  return version;
}

absl::StatusOr<ConsensusVersion> StoreInitialConsensus(const RunPaths& paths,
                                                       const RunManifest& manifest,
                                                       const HuggingFaceModel& model) {
  const absl::StatusOr<BlobDirectory> blobs = BlobDirectory::Open(paths.blobs());
  if (!blobs.ok()) return blobs.status();
  VectorHeader header;
  header.element_count = model.layout.element_count();
  header.layout = model.layout.digest();
  const absl::StatusOr<Digest> digest = WriteVector(*blobs, header, model.vector.span(), {});
  if (!digest.ok()) return digest.status();
  if (ToHex(*digest) != manifest.initial_consensus()) {
    return absl::InvalidArgumentError(absl::StrCat("the initial model's digest is ", ToHex(*digest),
                                                   ", the manifest says ",
                                                   manifest.initial_consensus()));
  }
  return VersionOf(*digest, header.element_count);
}

// The parts in which it travels; none, where it travels whole.
absl::StatusOr<std::vector<ConsensusVersion>> StoreInitialFragments(const RunPaths& paths,
                                                                    const RunManifest& manifest,
                                                                    const HuggingFaceModel& model) {
  std::vector<ConsensusVersion> fragments;
  const uint32_t count = FragmentCount(manifest.consensus());
  if (count == 1) return fragments;
  const absl::StatusOr<BlobDirectory> blobs = BlobDirectory::Open(paths.blobs());
  if (!blobs.ok()) return blobs.status();
  const auto digests = WriteFragments(*blobs, model.layout.digest(), model.vector.span(), count);
  if (!digests.ok()) return digests.status();
  for (uint32_t f = 0; f < count; ++f) {
    const uint64_t elements = RangeOfFragment(model.layout.element_count(), count, f).size;
    fragments.push_back(VersionOf((*digests)[f], elements));
  }
  return fragments;
}

absl::Status CopyInputs(const InitOptions& options, const RunPaths& paths) {
  absl::Status status = MakeDirectories(paths.tokenizer());
  for (const char* name : kTokenizerFiles) {
    if (!status.ok()) return status;
    status = CopyFile(absl::StrCat(options.initial, "/", name),
                      absl::StrCat(paths.tokenizer(), "/", name));
  }
  if (status.ok()) status = CopyFile(options.manifest, paths.manifest());
  if (status.ok()) status = CopyFile(options.membership, paths.membership());
  if (!status.ok()) return status;
  std::error_code error;
  fs::remove(paths.kit(), error);
  fs::create_directory_symlink(fs::absolute(options.kit), paths.kit(), error);
  if (error) return absl::UnavailableError(absl::StrCat(paths.kit(), ": ", error.message()));
  return absl::OkStatus();
}

}  // namespace

std::string RunPaths::contributions_of(uint64_t round) const {
  return absl::StrFormat("%s/round-%06d", contributions(), round);
}

std::string RunPaths::kept_of(uint64_t round) const {
  return absl::StrFormat("%s/round-%06d", kept(), round);
}

absl::Status InitRunFolder(const InitOptions& options) {
  const RunPaths paths{options.folder};
  const absl::StatusOr<Identity> identity = LoadIdentity(options.kit);
  if (!identity.ok()) return identity.status();
  if (identity->name != kCoordinatorName) {
    return absl::InvalidArgumentError(absl::StrCat(options.kit, ": the identity of \"",
                                                   identity->name, "\", not of \"",
                                                   kCoordinatorName, "\""));
  }
  const auto manifest = LoadSignedManifest(options.manifest, identity->authorities);
  if (!manifest.ok()) return manifest.status();
  const auto membership = LoadSignedMembership(options.membership, identity->authorities);
  if (!membership.ok()) return membership.status();
  if (membership->membership.run_id() != manifest->manifest.run_id()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.membership, ": of run \"", membership->membership.run_id(),
                     "\", the manifest is of \"", manifest->manifest.run_id(), "\""));
  }
  if (absl::Status status = CheckRules(manifest->manifest); !status.ok()) return status;
  const absl::StatusOr<HuggingFaceModel> model = ReadHuggingFaceFolder(options.initial);
  if (!model.ok()) return model.status();
  absl::Status status = CheckInitial(manifest->manifest, *model, options.initial);
  if (!status.ok()) return status;

  auto store = RocksDbRoundStore::Open(paths.state(), RocksDbRoundStore::Mode::kCreate);
  if (!store.ok()) return store.status();
  status = CopyInputs(options, paths);
  if (!status.ok()) return status;
  const auto consensus = StoreInitialConsensus(paths, manifest->manifest, *model);
  if (!consensus.ok()) return consensus.status();
  const auto fragments = StoreInitialFragments(paths, manifest->manifest, *model);
  if (!fragments.ok()) return fragments.status();
  return (*store)->Commit(RoundMachine::InitialState(manifest->manifest, membership->membership,
                                                     *consensus, *fragments),
                          {});
}

absl::StatusOr<LoadedRun> LoadRunFolder(const std::string& folder) {
  LoadedRun run{.paths = RunPaths{folder}};
  if (!fs::exists(run.paths.manifest())) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": no run is here; make it with weft-coordinator init"));
  }
  absl::StatusOr<Identity> identity = LoadIdentity(run.paths.kit(), &run.identity_warning);
  if (!identity.ok()) return identity.status();
  run.identity = *std::move(identity);
  auto manifest = LoadSignedManifest(run.paths.manifest(), run.identity.authorities);
  if (!manifest.ok()) return manifest.status();
  run.manifest = *std::move(manifest);
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(run.manifest.manifest.model());
  if (!layout.ok()) return layout.status();
  run.layout = *std::move(layout);
  if (absl::Status status = CheckRules(run.manifest.manifest); !status.ok()) return status;
  return run;
}

}  // namespace weft
