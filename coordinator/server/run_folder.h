// The coordinator's directory: what it holds, how it is made and how it is opened.
//
//   DIR/run.signed.json           the manifest the sites accepted; never changes
//   DIR/membership.signed.json    read again whenever it changes
//   DIR/kit                       link to the coordinator's identity kit
//   DIR/tokenizer/                the tokenizer's files, for releases
//   DIR/state/                    the round store (RocksDB)
//   DIR/blobs/                    consensus versions, their encoded changes and outer state
//   DIR/assembled/                a vector that travels in parts, whole for as long as a release
//                                 of it is written
//   DIR/spool/                    contributions on their way in
//   DIR/contributions/round-000003/   stored contributions of a round
//   DIR/commands/                 what an operator asks of the running server
//   DIR/kept/round-000003/        for auditors, if serve was told so: what its outer step read
//   DIR/releases/                 what is published
#ifndef WEFT_COORDINATOR_SERVER_RUN_FOLDER_H_
#define WEFT_COORDINATOR_SERVER_RUN_FOLDER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/parameters/parameter_layout.h"
#include "ops/identity.h"
#include "ops/manifest.h"

namespace weft {

struct RunPaths {
  std::string folder;
  std::string manifest() const { return folder + "/run.signed.json"; }
  std::string membership() const { return folder + "/membership.signed.json"; }
  std::string kit() const { return folder + "/kit"; }
  std::string tokenizer() const { return folder + "/tokenizer"; }
  std::string state() const { return folder + "/state"; }
  std::string blobs() const { return folder + "/blobs"; }
  std::string assembled() const { return folder + "/assembled"; }
  std::string spool() const { return folder + "/spool"; }
  std::string contributions() const { return folder + "/contributions"; }
  std::string contributions_of(uint64_t round) const;
  std::string commands() const { return folder + "/commands"; }
  std::string kept() const { return folder + "/kept"; }
  std::string kept_of(uint64_t round) const;
  std::string releases() const { return folder + "/releases"; }
};

struct InitOptions {
  std::string folder;
  std::string kit;
  std::string manifest;
  std::string membership;
  std::string initial;  // a Hugging Face folder: consensus version 0
};

// Checks that everything belongs together, and makes the directory. The state is written last:
// without it nothing is served, and init may be run again.
absl::Status InitRunFolder(const InitOptions& options);

struct LoadedRun {
  RunPaths paths;
  Identity identity;
  std::string identity_warning;  // it expires soon; empty: it does not
  SignedManifest manifest;
  ParameterLayout layout;
};
absl::StatusOr<LoadedRun> LoadRunFolder(const std::string& folder);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_RUN_FOLDER_H_
