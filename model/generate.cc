#include "model/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "model/random.h"
#include "model/token_check.h"

namespace weft {
namespace {

absl::Status OutOfRange(const char* name, double value, const char* allowed) {
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, "; allowed: ", allowed));
}

// Ids from the likeliest on, at most `count` of them.
std::vector<int32_t> Likeliest(absl::Span<const float> logits, size_t count) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), likelier);
  ids.resize(count);
  return ids;
}

}  // namespace

absl::Status CheckGenerateOptions(const GenerateOptions& o) {
  if (o.token_count_max < 1) return OutOfRange("token count", o.token_count_max, "1 or more");
  if (!(o.temperature >= 0) || !std::isfinite(o.temperature)) {
    return OutOfRange("temperature", o.temperature, "0 (the likeliest token) or more");
  }
  if (o.top_k < 0) return OutOfRange("top-k", o.top_k, "1 or more, or 0 for all tokens");
  if (!(o.top_p > 0 && o.top_p <= 1)) return OutOfRange("top-p", o.top_p, "above 0, at most 1");
  return absl::OkStatus();
}

int32_t SampleToken(absl::Span<const float> logits, const GenerateOptions& options, double draw) {
  const bool greedy = options.temperature == 0;
  size_t count = logits.size();
  if (options.top_k > 0) count = std::min(count, static_cast<size_t>(options.top_k));
  if (greedy) count = 1;
  const std::vector<int32_t> ids = Likeliest(logits, count);
  if (count == 1) return ids[0];
  std::vector<double> weight(count);
  double total = 0;
  for (size_t i = 0; i < count; ++i) {
    weight[i] = std::exp((double{logits[ids[i]]} - logits[ids[0]]) / options.temperature);
    total += weight[i];
  }
  double kept = 0;
  size_t nucleus = 0;
  while (nucleus < count && (nucleus == 0 || kept < options.top_p * total))
    kept += weight[nucleus++];
  double left = draw * kept;
  for (size_t i = 0; i < nucleus; ++i) {
    left -= weight[i];
    if (left < 0) return ids[i];
  }
  return ids[nucleus - 1];  // the sums were rounded past the draw
}

absl::StatusOr<std::vector<int32_t>> Generate(Transformer* model, absl::Span<const int32_t> prompt,
                                              const GenerateOptions& options,
                                              const std::function<void(int32_t)>& on_token) {
  if (absl::Status status = CheckGenerateOptions(options); !status.ok()) return status;
  if (absl::Status status = CheckTokens(model->config(), prompt); !status.ok()) return status;
  const size_t context = model->config().context_length();
  if (prompt.size() >= context) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt has ", prompt.size(),
                                                   " tokens and leaves no room in a context of ",
                                                   context, "; shorten it"));
  }
  const std::unique_ptr<KeyValueCache> cache = model->NewCache();
  const uint64_t key = SplitMix64(options.seed);
  const size_t count =
      std::min(static_cast<size_t>(options.token_count_max), context - prompt.size());
  std::vector<int32_t> tokens;
  std::vector<float> logits = model->NextLogits(prompt, cache.get());
  while (true) {
    const int32_t token = SampleToken(logits, options, UnitAt(key, tokens.size()));
    if (token == options.end_token) return tokens;
    tokens.push_back(token);
    if (on_token) on_token(token);
    if (tokens.size() == count) return tokens;
    logits = model->NextLogits({token}, cache.get());
  }
}

}  // namespace weft
