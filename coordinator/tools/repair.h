// Does to a coordinator's directory what is safe, and says what it did. What nobody needs goes;
// what is damaged is made again where its digest proves that it is the same:
//
//   a vector          from the copy kept for auditors, from a release, or by the outer step once
//   more an encoded change   else it is given up: sites fetch that version whole a release from the
//   consensus of its version, or from its own model if that is whole
//
// Nothing else is touched: the database, contributions, signed files. FailedPrecondition while a
// server holds the directory; DataLoss, with nothing changed, where the database is damaged.
#ifndef WEFT_COORDINATOR_TOOLS_REPAIR_H_
#define WEFT_COORDINATOR_TOOLS_REPAIR_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/tools/directory_check.h"

namespace weft {

struct RepairReport {
  std::vector<std::string> done;  // in words, in order
  CheckReport left;               // what the directory is like now
};

absl::StatusOr<RepairReport> RepairDirectory(const std::string& folder);
std::string PrintRepairReport(const std::string& folder, const RepairReport& report, bool as_json);

}  // namespace weft

#endif  // WEFT_COORDINATOR_TOOLS_REPAIR_H_
