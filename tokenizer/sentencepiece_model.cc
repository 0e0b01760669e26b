#include "tokenizer/sentencepiece_model.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

namespace weft {
namespace {

class LineIterator : public sentencepiece::SentenceIterator {
 public:
  explicit LineIterator(const std::function<bool(std::string*)>& next_line)
      : next_line_(next_line) {
    Next();
  }
  bool done() const override { return done_; }
  void Next() override { done_ = !next_line_(&line_); }
  const std::string& value() const override { return line_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::function<bool(std::string*)>& next_line_;
  std::string line_;
  bool done_ = false;
};

PieceKind KindOf(const sentencepiece::SentencePieceProcessor& processor, int id) {
  if (processor.IsUnknown(id)) return PieceKind::kUnknown;
  if (processor.IsControl(id)) return PieceKind::kControl;
  if (processor.IsByte(id)) return PieceKind::kByte;
  return PieceKind::kNormal;
}

}  // namespace

SentencePieceModel::SentencePieceModel(
    std::unique_ptr<sentencepiece::SentencePieceProcessor> processor)
    : processor_(std::move(processor)) {}
SentencePieceModel::~SentencePieceModel() = default;

std::unique_ptr<SentencePieceModel> SentencePieceModel::Load(const std::string& serialized,
                                                             std::string* error) {
  auto processor = std::make_unique<sentencepiece::SentencePieceProcessor>();
  const auto status = processor->LoadFromSerializedProto(serialized);
  if (!status.ok()) {
    *error = status.ToString();
    return nullptr;
  }
  return std::unique_ptr<SentencePieceModel>(new SentencePieceModel(std::move(processor)));
}

std::vector<Piece> SentencePieceModel::Pieces() const {
  std::vector<Piece> pieces;
  for (int id = 0; id < processor_->GetPieceSize(); ++id) {
    pieces.push_back(
        {processor_->IdToPiece(id), processor_->GetScore(id), KindOf(*processor_, id)});
  }
  return pieces;
}

bool SentencePieceModel::Encode(const char* text, size_t bytes, std::vector<int>* ids) const {
  return processor_->Encode({text, bytes}, ids).ok();
}

std::string TrainSentencePieceModel(const std::unordered_map<std::string, std::string>& arguments,
                                    const std::function<bool(std::string*)>& next_line,
                                    std::string* error) {
  LineIterator lines(next_line);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &lines, &model);
  if (status.ok()) return model;
  *error = status.ToString();
  return "";
}

}  // namespace weft
