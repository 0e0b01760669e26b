#include "tokenizer/sentencepiece_tokenizer.h"

#include <sys/stat.h>

#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/check.h"
#include "proto/digest.h"
#include "proto/durable_file.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace weft {
namespace {

constexpr uint64_t kModelBytesMax = uint64_t{256} << 20;

absl::Status Unsupported(absl::string_view source, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      source, ": ", what, "; Weft reads SentencePiece models that weft-tokenizer train made"));
}

absl::StatusOr<std::unique_ptr<SentencePieceModel>> LoadModel(const std::string& bytes,
                                                              absl::string_view source) {
  if (bytes.empty()) return Unsupported(source, "an empty file");
  std::string error;
  std::unique_ptr<SentencePieceModel> model = SentencePieceModel::Load(bytes, &error);
  if (model == nullptr)
    return Unsupported(source, absl::StrCat("not a SentencePiece model: ", error));
  return model;
}

// The file's settings are not to be had without its protobuf schema, so what they must bring about
// is tried.
absl::Status CheckLossless(const SentencePieceModel& model, absl::Span<const Piece> pieces,
                           absl::string_view source) {
  for (const absl::string_view text : {"a", " a", "  a  b ", " ", "\xef\xac\x81 \xe2\x84\xab"}) {
    std::vector<int> ids;
    std::string back;
    if (!model.Encode(text.data(), text.size(), &ids))
      return Unsupported(source, "it does not encode");
    for (const int id : ids) {
      const Piece& piece = pieces[static_cast<size_t>(id)];
      if (piece.kind == PieceKind::kByte) {
        back.push_back(static_cast<char>(std::stoi(piece.text.substr(3, 2), nullptr, 16)));
      } else {
        back += piece.text;
      }
    }
    if (DecodeSpaces(back) != text) {
      return Unsupported(source,
                         absl::StrCat("encoding \"", text,
                                      "\" is not lossless (normalisation or a dummy prefix)"));
    }
  }
  return absl::OkStatus();
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::unique_ptr<SentencePieceModel> model,
                         const std::vector<Piece>& pieces, std::string sha256)
      : model_(std::move(model)), sha256_(std::move(sha256)) {
    for (size_t id = 0; id < pieces.size(); ++id) {
      switch (pieces[id].kind) {
        case PieceKind::kNormal:
          texts_.push_back(DecodeSpaces(pieces[id].text));
          break;
        case PieceKind::kByte:
          texts_.emplace_back(1, static_cast<char>(id - (kSpecialPieceCount - 256)));
          break;
        default:
          texts_.emplace_back();
      }
    }
  }

  // Line by line: no piece crosses a newline (training saw lines), so the ids are the same, and
  // SentencePiece's memory (about a hundred bytes for each byte of text) stays small. What is not
  // UTF-8 is spelled in byte pieces, where SentencePiece would put U+FFFD.
  std::vector<int32_t> Encode(absl::string_view text) const override {
    std::vector<int32_t> ids;
    while (true) {
      const size_t end = text.find('\n');
      EncodeLine(text.substr(0, end), &ids);
      if (end == absl::string_view::npos) return ids;
      ids.push_back(BytePiece('\n'));
      text.remove_prefix(end + 1);
    }
  }

  std::string Decode(absl::Span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (id >= 0 && id < vocabulary_size()) text += texts_[id];
    }
    return text;
  }

  int32_t vocabulary_size() const override { return static_cast<int32_t>(texts_.size()); }
  const std::string& model_sha256() const override { return sha256_; }

 private:
  static int32_t BytePiece(char byte) {
    return kSpecialPieceCount - 256 + static_cast<uint8_t>(byte);
  }

  void EncodeLine(absl::string_view line, std::vector<int32_t>* ids) const {
    while (!line.empty()) {
      const size_t sound = ValidUtf8Prefix(line);
      std::vector<int> encoded;
      WEFT_CHECK(model_->Encode(line.data(), sound, &encoded));
      ids->insert(ids->end(), encoded.begin(), encoded.end());
      if (sound == line.size()) return;
      ids->push_back(BytePiece(line[sound]));
      line.remove_prefix(sound + 1);
    }
  }

  std::unique_ptr<SentencePieceModel> model_;
  std::vector<std::string> texts_;
  std::string sha256_;
};

}  // namespace

absl::StatusOr<std::string> TrainSentencePiece(const SentencePieceOptions& options,
                                               const std::function<bool(std::string*)>& next_line) {
  const std::unordered_map<std::string, std::string> arguments = {
      {"model_type", "bpe"},
      {"vocab_size", absl::StrCat(options.vocabulary_size)},
      {"character_coverage", "1"},
      {"byte_fallback", "true"},
      {"split_digits", "true"},
      {"add_dummy_prefix", "false"},
      {"allow_whitespace_only_pieces", "true"},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"max_sentence_length", absl::StrCat(options.line_bytes_max)},
      {"unk_id", absl::StrCat(kUnknownId)},
      {"bos_id", absl::StrCat(kBeginId)},
      {"eos_id", absl::StrCat(kEndId)},
      {"pad_id", "-1"},
      {"num_threads", "1"},
      {"minloglevel", "2"},
  };
  std::string error;
  std::string model = TrainSentencePieceModel(arguments, next_line, &error);
  if (model.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "SentencePiece cannot make ", options.vocabulary_size, " pieces of this text: ", error));
  }
  return model;
}

absl::StatusOr<std::vector<Piece>> ReadPieces(absl::string_view bytes, absl::string_view source) {
  absl::StatusOr<std::unique_ptr<SentencePieceModel>> model = LoadModel(std::string(bytes), source);
  if (!model.ok()) return model.status();
  std::vector<Piece> pieces = (*model)->Pieces();
  if (pieces.size() < kSpecialPieceCount) return Unsupported(source, "too few pieces");
  for (int id = 0; id < static_cast<int>(pieces.size()); ++id) {
    const PieceKind expected = id == kUnknownId                 ? PieceKind::kUnknown
                               : id == kBeginId || id == kEndId ? PieceKind::kControl
                               : id < kSpecialPieceCount        ? PieceKind::kByte
                                                                : PieceKind::kNormal;
    if (pieces[id].kind != expected) {
      return Unsupported(source, absl::StrCat("piece ", id, " (", pieces[id].text,
                                              ") is of another kind than expected: ",
                                              "0 <unk>, 1 <s>, 2 </s>, 3-258 bytes, then text"));
    }
    if (expected == PieceKind::kByte && pieces[id].text != absl::StrFormat("<0x%02X>", id - 3)) {
      return Unsupported(source, absl::StrCat("piece ", id, " is ", pieces[id].text));
    }
    if (expected == PieceKind::kNormal && pieces[id].text.find('\n') != std::string::npos) {
      return Unsupported(source, absl::StrCat("piece ", id, " has a newline"));
    }
  }
  if (absl::Status status = CheckLossless(**model, pieces, source); !status.ok()) return status;
  return pieces;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& path) {
  struct stat info;
  const bool folder = stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  const std::string file = folder ? absl::StrCat(path, "/tokenizer.model") : path;
  absl::StatusOr<std::string> model = ReadWholeFile(file, kModelBytesMax);
  if (!model.ok()) return model.status();
  absl::StatusOr<std::vector<Piece>> pieces = ReadPieces(*model, file);
  if (!pieces.ok()) return pieces.status();
  absl::StatusOr<std::unique_ptr<SentencePieceModel>> loaded = LoadModel(*model, file);
  if (!loaded.ok()) return loaded.status();
  return std::make_unique<SentencePieceTokenizer>(*std::move(loaded), *pieces,
                                                  ToHex(Sha256(*model)));
}

}  // namespace weft
