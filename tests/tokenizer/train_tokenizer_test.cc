#include "tokenizer/train_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/durable_file.h"
#include "tests/testing/temporary_folder.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_files.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

std::string HanCharacter(int index) {
  const int code = 0x4e00 + index;
  return {static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3f)),
          static_cast<char>(0x80 | (code & 0x3f))};
}

class TrainTokenizerTest : public ::testing::Test {
 protected:
  // Lines of words of the letters a to h, and `rare` different characters once each.
  std::string Text(const std::string& name, int lines, int rare = 0) {
    std::mt19937 random(5);
    const std::string path = folder_ / name;
    std::ofstream file(path, std::ios::binary);
    for (int i = 0; i < lines; ++i) {
      for (int word = 0; word < 12; ++word) {
        for (uint32_t letter = random() % 6 + 1; letter > 0; --letter)
          file << static_cast<char>('a' + random() % 8);
        file << (word < 11 ? " " : "");
      }
      if (i < rare) file << HanCharacter(i);
      file << "\n";
    }
    return path;
  }
  absl::StatusOr<TrainedTokenizer> Train(const std::string& path, TrainTokenizerOptions options) {
    return TrainTokenizer(std::vector<std::string>{path}, options);
  }
  void ExpectRefused(const absl::Status& status, const std::string& what) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
  }
  std::unique_ptr<Tokenizer> Load(const std::string& model) {
    EXPECT_TRUE(WriteFileDurably(folder_ / "m.model", model).ok());
    auto tokenizer = LoadTokenizer(folder_ / "m.model");
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    return *std::move(tokenizer);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(TrainTokenizerTest, SameInputGivesSameFiles) {
  const std::string text = Text("a.txt", 300, 50);
  for (const char* name : {"one", "two"}) {
    const auto trained = Train(text, {.vocabulary_size = 512});
    ASSERT_TRUE(trained.ok()) << trained.status();
    ASSERT_TRUE(WriteTokenizerFolder(folder_ / name, trained->model).ok());
  }
  for (const char* file :
       {"tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}) {
    const auto one = ReadWholeFile(absl::StrCat(folder_ / "one", "/", file));
    const auto two = ReadWholeFile(absl::StrCat(folder_ / "two", "/", file));
    ASSERT_TRUE(one.ok() && two.ok()) << file;
    EXPECT_EQ(*one, *two) << file;
    EXPECT_GT(one->size(), 50u);
  }
}

TEST_F(TrainTokenizerTest, RefusesVocabulariesAndCoveragesOutOfRange) {
  const std::string text = Text("a.txt", 300);
  for (const int vocabulary : {-128, 0, 128, 256, 500, 513, 1000})
    ExpectRefused(Train(text, {.vocabulary_size = vocabulary}).status(),
                  "a multiple of 128, at least 384, is needed");
  for (const double coverage : {-0.1, 1.5})
    ExpectRefused(Train(text, {.vocabulary_size = 512, .character_coverage = coverage}).status(),
                  "0 (chosen) to 1 is allowed");
}

TEST_F(TrainTokenizerTest, TooLittleTextIsRefusedWithAdvice) {
  const auto status = Train(Text("a.txt", 3), {.vocabulary_size = 2048}).status();
  ExpectRefused(status, "2048 pieces");
  ExpectRefused(status,
                "the sample has 3 lines and 9 different characters: give more text, or "
                "another --vocabulary");
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  ExpectRefused(Train(Text("b.txt", 0), {.vocabulary_size = 512}).status(), "hold no text");
  ExpectRefused(
      Train(Text("c.txt", 400, 400), {.vocabulary_size = 512, .character_coverage = 1}).status(),
      "409 different characters");
}

TEST_F(TrainTokenizerTest, RareCharactersAreSpelledInBytesAndComeBack) {
  const auto trained = Train(Text("a.txt", 400, 400), {.vocabulary_size = 512});
  ASSERT_TRUE(trained.ok()) << trained.status();
  EXPECT_EQ(trained->distinct_characters, 409u);
  EXPECT_LT(trained->character_coverage, 1);
  EXPECT_GT(trained->character_coverage, 0.98);
  const std::unique_ptr<Tokenizer> tokenizer = Load(trained->model);
  EXPECT_EQ(tokenizer->vocabulary_size(), 512);
  int spelled = 0;
  for (int i = 0; i < 400; ++i) {
    const std::string character = HanCharacter(i);
    const std::vector<int32_t> ids = tokenizer->Encode(character);
    EXPECT_EQ(tokenizer->Decode(ids), character);
    if (ids.size() == 1) continue;
    ++spelled;
    EXPECT_EQ(ids, (std::vector<int32_t>{3 + static_cast<uint8_t>(character[0]),
                                         3 + static_cast<uint8_t>(character[1]),
                                         3 + static_cast<uint8_t>(character[2])}));
  }
  EXPECT_GE(spelled, 400 - (512 - kSpecialPieceCount) / 2);
  EXPECT_LT(spelled, 400);
}

TEST_F(TrainTokenizerTest, EveryInputGivesAtMostItsSample) {
  const std::string a = Text("a.txt", 2000), b = Text("b.txt", 100);
  const auto trained = TrainTokenizer(std::vector<std::string>{a, b},
                                      {.vocabulary_size = 512, .sample_bytes = 5000});
  ASSERT_TRUE(trained.ok()) << trained.status();
  EXPECT_GT(trained->counts.bytes, 8000u);
  EXPECT_LT(trained->counts.bytes, 10200u);
}

TEST_F(TrainTokenizerTest, EncodesLinesAndBytesInLinearTime) {
  const auto trained = Train(Text("a.txt", 300), {.vocabulary_size = 512});
  ASSERT_TRUE(trained.ok()) << trained.status();
  const std::unique_ptr<Tokenizer> tokenizer = Load(trained->model);
  EXPECT_EQ(tokenizer->Encode("\n\xff"), (std::vector<int32_t>{3 + 10, 3 + 255}));
  // Quadratic time would be minutes.
  for (const std::string& text : {std::string(1'000'000, '\xff'), std::string(1'000'000, '\n')})
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text)), text);
}

TEST_F(TrainTokenizerTest, LoadsNothingElse) {
  const auto trained = Train(Text("a.txt", 300), {.vocabulary_size = 512});
  ASSERT_TRUE(trained.ok()) << trained.status();
  const auto message = [&](const std::string& bytes) {
    EXPECT_TRUE(WriteFileDurably(folder_ / "bad.model", bytes).ok());
    return std::string(LoadTokenizer(folder_ / "bad.model").status().message());
  };
  EXPECT_THAT(message(""), HasSubstr("bad.model: an empty file"));
  EXPECT_THAT(message("no model"), HasSubstr("bad.model: not a SentencePiece model"));
  EXPECT_THAT(message(trained->model.substr(0, 2000)), HasSubstr("bad.model: "));
  std::string other = trained->model;
  other.replace(other.find("<0x41>"), 6, "<0x4x>");
  EXPECT_THAT(message(other), HasSubstr("weft-tokenizer train"));
  EXPECT_EQ(LoadTokenizer(folder_ / "none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TrainTokenizerTest, AFolderIsNeverOverwrittenNorHalfWritten) {
  EXPECT_FALSE(WriteTokenizerFolder(folder_ / "out", "no model").ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
  const auto trained = Train(Text("a.txt", 300), {.vocabulary_size = 512});
  ASSERT_TRUE(trained.ok()) << trained.status();
  ASSERT_TRUE(WriteTokenizerFolder(folder_ / "out/", trained->model).ok());
  EXPECT_EQ(WriteTokenizerFolder(folder_ / "out", trained->model).code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(TokenizerFiles, MergesAreAllSplitsByFallingScore) {
  const std::vector<Piece> pieces = {{"<unk>", 0, PieceKind::kUnknown},
                                     {"<s>", 0, PieceKind::kControl},
                                     {"</s>", 0, PieceKind::kControl},
                                     {"<0x00>", 0, PieceKind::kByte},
                                     {"aa", 0, PieceKind::kNormal},
                                     {"aaa", -1, PieceKind::kNormal},
                                     {"\xc3\xa9"
                                      "a",
                                      -2, PieceKind::kNormal},
                                     {"a", -3, PieceKind::kNormal},
                                     {"\xc3\xa9", -4, PieceKind::kNormal}};
  const std::string json = PrintTokenizerJson(pieces);
  std::string merges = json.substr(json.find("\"merges\""));
  std::string squeezed;
  for (const char c : merges) {
    if (c != ' ' && c != '\n') squeezed += c;
  }
  EXPECT_THAT(squeezed, HasSubstr("\"merges\":[[\"a\",\"a\"],[\"aa\",\"a\"],[\"a\",\"aa\"],"
                                  "[\"\xc3\xa9\",\"a\"]]"));
}

TEST(TokenizerFiles, PrintsALargeVocabularyQuickly) {
  std::vector<Piece> pieces;
  for (int i = 0; i < 131072; ++i)
    pieces.push_back({absl::StrCat("piece-", i), 0, PieceKind::kNormal});
  EXPECT_THAT(PrintTokenizerJson(pieces), HasSubstr("\"piece-131071\": 131071"));
}

}  // namespace
}  // namespace weft
