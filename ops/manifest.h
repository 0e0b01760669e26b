// The two files that the authorities of a run sign: the run manifest (what is trained, and how) and
// the membership (who takes part). Here they are checked, put in words for the operator who accepts
// them, and loaded with their signatures.
//
//   absl::StatusOr<SignedManifest> run = LoadSignedManifest("run.signed.json",
//   identity.authorities); if (!run.ok()) return run.status();           // unsigned, changed, or
//   with values that are not allowed std::cout << DescribeManifest(run->manifest); // run->digest
//   is what a site accepts and names when it joins
//
// All functions are pure but for the reading of files, and may be called from any thread.
#ifndef WEFT_OPS_MANIFEST_H_
#define WEFT_OPS_MANIFEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/digest.h"
#include "proto/run_manifest.pb.h"

namespace weft {

inline constexpr uint32_t kProtocolVersion = 1;

struct SignedManifest {
  RunManifest manifest;
  std::string bytes;  // the signed text format, as it was signed
  Digest digest{};    // SHA-256 of `bytes`
};

struct SignedMembership {
  Membership membership;
  std::string bytes;
  Digest digest{};
};

// InvalidArgument naming every field that is not allowed, one a line, each with what is allowed.
absl::Status CheckManifest(const RunManifest& manifest);
absl::Status CheckMembership(const Membership& membership);

// Some lines of plain words, ending in a newline: what an operator reads before accepting.
std::string DescribeManifest(const RunManifest& manifest);
std::string DescribeMembership(const Membership& membership);

// Fills consensus from a preset's name, and of rounds what it needs (late contributions, without a
// barrier). Requires rounds.sites_to_start. InvalidArgument lists the names.
absl::Status ApplyPreset(absl::string_view preset, RunManifest* run);

// Reads a SignedStatement from a file, verifies k of n signatures, parses and checks the payload.
// PermissionDenied where signatures are missing or wrong, InvalidArgument with the path where the
// content is; NotFound.
absl::StatusOr<SignedManifest> LoadSignedManifest(const std::string& path,
                                                  const Authorities& authorities);
absl::StatusOr<SignedMembership> LoadSignedMembership(const std::string& path,
                                                      const Authorities& authorities);

// The member of that name, revoked or not; nullptr if there is none. Points into `membership`.
const MemberSite* FindMember(const Membership& membership, absl::string_view site);

// Names of runs and sites: [a-z0-9-], 1 to 64 characters, not beginning with '-'.
bool IsName(absl::string_view name);

}  // namespace weft

#endif  // WEFT_OPS_MANIFEST_H_
