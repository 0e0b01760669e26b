// One line an event on standard error: time, level, words, then key=value pairs. Logging is
// spdlog's; this sets it up the same way in every program.
//
//   SetUpLogging("weft-gate");  LogInfo("round opened", {{"round", "3"}, {"base", ToHex(digest)}});
//
//   2026-03-01T09:15:00.123Z info weft-gate: round opened round=3 base=5f70bf18...
//
// SetUpLogging belongs at the start of main, before there are threads; the others may be called
// from any thread.
#ifndef WEFT_OPS_LOG_H_
#define WEFT_OPS_LOG_H_

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace weft {

using LogFields = std::initializer_list<std::pair<absl::string_view, std::string>>;

void SetUpLogging(absl::string_view program);
void LogInfo(absl::string_view words, LogFields fields = {});
void LogWarning(absl::string_view words, LogFields fields = {});
void LogError(absl::string_view words, LogFields fields = {});

}  // namespace weft

#endif  // WEFT_OPS_LOG_H_
