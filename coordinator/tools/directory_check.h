// Whether a coordinator's directory is sound: every blob against its name, the state's database by
// its checksums, the audit records' chain, what the state names, signatures, releases. Only reads,
// and may run beside a server, whose progress it does not take for damage; on a copy; on damage.
//
//   absl::StatusOr<CheckReport> report = CheckDirectory("run");
//   for (const Finding& problem : report->problems) ...
//
// The findings are also what a repair acts upon.
#ifndef WEFT_COORDINATOR_TOOLS_DIRECTORY_CHECK_H_
#define WEFT_COORDINATOR_TOOLS_DIRECTORY_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/digest.h"

namespace weft {

struct Finding {
  enum class Kind {
    kInput,         // manifest, membership, identity kit, tokenizer
    kState,         // the database
    kAudit,         // its chain of records
    kVector,        // a blob that the state names
    kContribution,  // of the round that is open
    kKept,          // of a round that is over: for auditors
    kRelease,
    kLeftover,  // nobody needs it: a temporary file, a blob that nothing names
  };
  Kind kind = Kind::kInput;
  std::string path;
  std::string what;
  std::string to_do;
  std::string digest = {};  // hex, of the blob it is about
};
const char* FindingName(Finding::Kind kind);

struct CheckReport {
  std::vector<Finding> problems;
  std::vector<Finding> notes;  // no damage, but worth knowing
  uint64_t blob_count = 0;     // in all folders, and their bytes
  uint64_t blob_bytes = 0;
  uint64_t audit_record_count = 0;
  uint64_t release_count = 0;
};

// NotFound where no coordinator's directory is.
absl::StatusOr<CheckReport> CheckDirectory(const std::string& folder);
std::string PrintCheckReport(const std::string& folder, const CheckReport& report, bool as_json);

// As BlobDirectory::Verify, for a blob wherever it lies and without writing: opening a
// BlobDirectory tidies up. NotFound, or DataLoss with both digests.
absl::Status VerifyBlobFile(const std::string& path, const Digest& digest);

// The problems of one release's files against its SHA256SUMS, in words; empty: it is whole.
std::vector<std::string> CheckRelease(const std::string& folder);

}  // namespace weft

#endif  // WEFT_COORDINATOR_TOOLS_DIRECTORY_CHECK_H_
