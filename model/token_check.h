// Token ids from the world (a file, a prompt) before they reach the transformer, which stops the
// program on a wrong one.
//
//   if (absl::Status status = CheckTokens(model->config(), ids); !status.ok()) return status;
#ifndef WEFT_MODEL_TOKEN_CHECK_H_
#define WEFT_MODEL_TOKEN_CHECK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "proto/run_manifest.pb.h"

namespace weft {

// InvalidArgument: no token, more than the context holds, or an id outside the vocabulary (naming
// the first).
absl::Status CheckTokens(const ModelConfig& config, absl::Span<const int32_t> tokens);

}  // namespace weft

#endif  // WEFT_MODEL_TOKEN_CHECK_H_
