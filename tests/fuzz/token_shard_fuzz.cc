// Whatever a shard's bytes are, its ids stay inside of the vocabulary and its documents inside of
// the tokens; and there is one way to write a shard.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "proto/check.h"
#include "tests/fuzz/fuzz_target.h"
#include "tokenizer/token_shard_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto view = weft::DecodeTokenShard(bytes, "input");
  if (!view.ok()) {
    WEFT_CHECK(!view.status().message().empty());
    return 0;
  }
  std::vector<int32_t> tokens;
  for (uint64_t i = 0; i < view->token_count; ++i) {
    tokens.push_back(view->Token(i));
    WEFT_CHECK(tokens.back() >= 0 &&
               static_cast<uint32_t>(tokens.back()) < view->header.vocabulary_size);
  }
  std::vector<uint64_t> starts;
  for (uint64_t i = 0; i < view->document_count; ++i) {
    starts.push_back(view->DocumentStart(i));
    WEFT_CHECK(starts.back() < view->token_count);
  }
  const std::string again = weft::EncodeTokenShard(view->header, tokens, starts);
  WEFT_CHECK(again.size() == size);
  // An id outside of the vocabulary was read as another; without one, nothing is lost.
  if (std::count(tokens.begin(), tokens.end(), 0) == 0) WEFT_CHECK(again == bytes);
  return 0;
}
