// Files that authorities sign: before (text format) and after (SignedStatement as JSON), told apart
// by their first character, so that commands take either. Thread-safe.
#ifndef WEFT_OPS_SIGNED_FILE_H_
#define WEFT_OPS_SIGNED_FILE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/run_manifest.pb.h"
#include "proto/signed_statement.h"

namespace weft {

// The statement in `path`; one without signatures if it is text format. InvalidArgument if it is of
// another type.
absl::StatusOr<SignedStatement> ReadStatement(const std::string& path, absl::string_view type);

// Verifies k of n signatures. The status names `path`.
absl::Status VerifyStatement(const SignedStatement& statement, const std::string& path,
                             absl::string_view type, const Authorities& authorities);

struct SigningResult {
  std::string digest_hex;  // SHA-256 of the payload
  int signature_count = 0;
  int threshold = 0;
};

// Adds the signature of the authority whose folder is given, and writes the statement to `out`.
// `check` sees the payload first. FailedPrecondition if this authority has signed already.
absl::StatusOr<SigningResult> SignFile(
    const std::string& authority_folder, const std::string& in, const std::string& out,
    absl::string_view type, const std::function<absl::Status(const std::string& payload)>& check);

}  // namespace weft

#endif  // WEFT_OPS_SIGNED_FILE_H_
