// SentencePiece, behind an interface of the standard library alone: its header declares
// absl::string_view to be std::string_view, which Debian's Abseil contradicts, so
// sentencepiece_model.cc includes it and nothing of Abseil. Used by sentencepiece_tokenizer.cc. A
// loaded model is immutable and may be shared by threads.
#ifndef WEFT_TOKENIZER_SENTENCEPIECE_MODEL_H_
#define WEFT_TOKENIZER_SENTENCEPIECE_MODEL_H_

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace weft {

enum class PieceKind { kNormal, kUnknown, kControl, kByte };

struct Piece {
  std::string text;  // with U+2581 for a space; "<0x41>" for a byte
  float score = 0;
  PieceKind kind = PieceKind::kNormal;
};

class SentencePieceModel {
 public:
  // Null, with SentencePiece's words in `error`, when `serialized` is not a model.
  static std::unique_ptr<SentencePieceModel> Load(const std::string& serialized,
                                                  std::string* error);
  ~SentencePieceModel();

  std::vector<Piece> Pieces() const;  // by id
  // False only for a model that cannot encode at all.
  bool Encode(const char* text, size_t bytes, std::vector<int>* ids) const;

 private:
  explicit SentencePieceModel(std::unique_ptr<sentencepiece::SentencePieceProcessor> processor);
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
};

// The bytes of a model trained on the lines that `next_line` fills until it returns false; empty,
// with SentencePiece's words in `error`, when it cannot be trained. `arguments` are SentencePiece's
// own.
std::string TrainSentencePieceModel(const std::unordered_map<std::string, std::string>& arguments,
                                    const std::function<bool(std::string*)>& next_line,
                                    std::string* error);

}  // namespace weft

#endif  // WEFT_TOKENIZER_SENTENCEPIECE_MODEL_H_
