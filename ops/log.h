// One line an event on standard error: time, level, words, then key=value pairs. Logging is spdlog's; this sets it up
// the same way in every program.
//
//   SetUpLogging("weft-gate");  LogInfo("round opened", {{"round", "3"}, {"base", ToHex(digest)}});
#ifndef WEFT_OPS_LOG_H_
#define WEFT_OPS_LOG_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace weft {

using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

void SetUpLogging(std::string_view program);
void LogInfo(std::string_view words, LogFields fields = {});
void LogWarning(std::string_view words, LogFields fields = {});
void LogError(std::string_view words, LogFields fields = {});

}  // namespace weft

#endif  // WEFT_OPS_LOG_H_
