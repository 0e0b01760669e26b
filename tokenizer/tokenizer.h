// Text to token ids and back. Encoding is lossless but for U+2581, which comes back as a space.
// Implementations are immutable and may be shared by threads.
//
//   auto tokenizer = LoadTokenizer("release/");  // the folder that holds tokenizer.model
//   std::vector<int32_t> ids = (*tokenizer)->Encode("Guten Morgen");  // no BOS is added
#ifndef WEFT_TOKENIZER_TOKENIZER_H_
#define WEFT_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace weft {

inline constexpr int32_t kUnknownId = 0;
inline constexpr int32_t kBeginId = 1;  // <s>
inline constexpr int32_t kEndId = 2;    // </s>

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Text that spells a special token is text, never a control token.
  virtual std::vector<int32_t> Encode(absl::string_view text) const = 0;
  // Control tokens decode to nothing; ids outside the vocabulary too.
  virtual std::string Decode(absl::Span<const int32_t> ids) const = 0;
  virtual int32_t vocabulary_size() const = 0;
  // SHA-256 of the model file, hex: what a manifest and a shard name.
  virtual const std::string& model_sha256() const = 0;
};

// From a folder that holds tokenizer.model, or from such a file.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& path);

}  // namespace weft

#endif  // WEFT_TOKENIZER_TOKENIZER_H_
