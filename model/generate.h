// Text from a model: token after token, each drawn from the distribution that the model gives,
// narrowed by temperature, top-k and top-p. The same model, prompt, options and seed give the same
// tokens on one machine.
//
//   GenerateOptions options{.token_count_max = 50, .temperature = 0.8, .top_k = 40, .seed = 1};
//   auto tokens = Generate(model, prompt, options, [](int32_t token) { Print(token); });
#ifndef WEFT_MODEL_GENERATE_H_
#define WEFT_MODEL_GENERATE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/transformer.h"

namespace weft {

struct GenerateOptions {
  int token_count_max = 100;
  double temperature = 1;  // 0: the likeliest token, always
  int top_k = 0;           // only the k likeliest; 0: all
  double top_p = 1;  // only the fewest that reach this probability together (Holtzman et al. 2020,
                     // section 3.1)
  uint64_t seed = 0;
  int32_t end_token = -1;  // ends the text, and is not part of it; -1: none does
};

absl::Status CheckGenerateOptions(const GenerateOptions& options);

// One token, given its draw from [0, 1). Ties go to the lower id. Requires options that were
// checked.
int32_t SampleToken(absl::Span<const float> logits, const GenerateOptions& options, double draw);

// The tokens after `prompt`; each is given to `on_token` (which may be empty) as it comes. Ends at
// token_count_max, at the end token, or where the context is full. InvalidArgument: an empty
// prompt, one that fills the context, an id outside the vocabulary, options out of range.
absl::StatusOr<std::vector<int32_t>> Generate(Transformer* model, absl::Span<const int32_t> prompt,
                                              const GenerateOptions& options,
                                              const std::function<void(int32_t)>& on_token = {});

}  // namespace weft

#endif  // WEFT_MODEL_GENERATE_H_
