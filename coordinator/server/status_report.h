// What `weft-coordinator status` prints: the round, why it waits, who is there, what was decided
// last.
#ifndef WEFT_COORDINATOR_SERVER_STATUS_REPORT_H_
#define WEFT_COORDINATOR_SERVER_STATUS_REPORT_H_

#include <string>

#include "absl/status/statusor.h"

namespace weft {

// Reads the run's directory, beside a server that writes it. NotFound where no run is.
absl::StatusOr<std::string> ReportStatus(const std::string& folder, bool as_json);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_STATUS_REPORT_H_
