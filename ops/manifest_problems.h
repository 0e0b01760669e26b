// What is wrong with a manifest, collected, so that an operator mends a file once.
#ifndef WEFT_OPS_MANIFEST_PROBLEMS_H_
#define WEFT_OPS_MANIFEST_PROBLEMS_H_

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "proto/run_manifest.pb.h"

namespace weft {

// Collects "field is VALUE; ALLOWED" lines.
class Problems {
 public:
  template <typename T>
  void Unless(bool allowed, absl::string_view field, const T& value, absl::string_view what_is) {
    if (!allowed) lines_.push_back(absl::StrCat(field, " is ", value, "; allowed: ", what_is));
  }
  void Add(std::string line) { lines_.push_back(std::move(line)); }
  absl::Status ToStatus(absl::string_view what) const {
    if (lines_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is refused:\n  ", absl::StrJoin(lines_, "\n  ")));
  }

 private:
  std::vector<std::string> lines_;
};

inline std::string Quoted(absl::string_view text) { return absl::StrCat("'", text, "'"); }

// False for NaN as well.
inline bool Within(double value, double least, double most) {
  return value >= least && value <= most;
}

inline bool IsOneOf(absl::string_view value, std::initializer_list<absl::string_view> allowed) {
  return std::find(allowed.begin(), allowed.end(), value) != allowed.end();
}

// consensus_check.cc: the scheme, and what of the manifest does not go with it. Requires a model
// that was found good.
void CheckConsensus(const RunManifest& run, Problems* problems);

}  // namespace weft

#endif  // WEFT_OPS_MANIFEST_PROBLEMS_H_
