// The files of a trained tokenizer, as other tools read them: tokenizer.model (SentencePiece),
// tokenizer.json (Hugging Face tokenizers, the same ids), tokenizer_config.json and
// special_tokens_map.json.
//
//   absl::Status status = WriteTokenizerFolder("tokenizer/", model_bytes);
//
// tokenizer.json: BPE with byte fallback, spaces as U+2581 by the normalizer, no pre-tokenizer, BOS
// by a template. Its merges are all splits of a piece into two pieces, in order of falling score,
// ties by the ids of the parts: merging by rank is then what SentencePiece does by score. Pure but
// for the writing.
#ifndef WEFT_TOKENIZER_TOKENIZER_FILES_H_
#define WEFT_TOKENIZER_TOKENIZER_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tokenizer/sentencepiece_tokenizer.h"

namespace weft {

std::string PrintTokenizerJson(absl::Span<const Piece> pieces);

// AlreadyExists where `folder` is; to be asked before long work, too.
absl::Status CheckFolderIsNew(const std::string& folder);

// `folder` must not exist: it appears whole or not at all.
absl::Status WriteTokenizerFolder(const std::string& folder, const std::string& model);

}  // namespace weft

#endif  // WEFT_TOKENIZER_TOKENIZER_FILES_H_
