#include "model/token_check.h"

#include "absl/strings/str_cat.h"

namespace weft {

absl::Status CheckTokens(const ModelConfig& config, absl::Span<const int32_t> tokens) {
  if (tokens.empty()) return absl::InvalidArgumentError("there is no token; give at least one");
  if (tokens.size() > config.context_length()) {
    return absl::InvalidArgumentError(
        absl::StrCat(tokens.size(), " tokens do not fit a context of ", config.context_length()));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && static_cast<uint32_t>(tokens[i]) < config.vocabulary_size()) continue;
    return absl::InvalidArgumentError(absl::StrCat("token ", i, " is ", tokens[i],
                                                   "; the vocabulary has ids 0 .. ",
                                                   config.vocabulary_size() - 1));
  }
  return absl::OkStatus();
}

}  // namespace weft
