#include "tokenizer/token_shard_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

TokenShardHeader Header(uint32_t vocabulary_size) {
  return {.vocabulary_size = vocabulary_size, .tokenizer = Sha256("a tokenizer")};
}

// Two documents of 3 and 2 tokens, in a shard of 16-bit ids: header, 10 bytes, 6 zeros, 16 bytes.
std::string Small() {
  return EncodeTokenShard(Header(300), std::vector<int32_t>{1, 299, 2, 1, 2},
                          std::vector<uint64_t>{0, 3});
}

template <typename T>
std::string With(const std::string& bytes, size_t offset, T value) {
  const std::string raw(reinterpret_cast<const char*>(&value), sizeof(value));
  return bytes.substr(0, offset) + raw + bytes.substr(offset + raw.size());
}

void ExpectDamaged(const std::string& bytes, const std::string& what) {
  const auto view = DecodeTokenShard(bytes, "x.tokens");
  ASSERT_FALSE(view.ok()) << what;
  EXPECT_EQ(view.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(view.status().message()), HasSubstr("x.tokens: "));
  EXPECT_THAT(std::string(view.status().message()), HasSubstr(what));
}

TEST(TokenShardFormat, LiesInTheFileAsDrawn) {
  const std::string bytes = Small();
  ASSERT_EQ(bytes.size(), 128 + 16 + 16);
  std::string head = "weftshrd";
  head += std::string("\1\0\0\0\2\0\0\0", 8);                   // version, bytes a token
  head += std::string("\5\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0", 16);  // tokens, documents
  head += std::string("\x2c\1\0\0\0\0\0\0", 8);                 // vocabulary, zeros
  const Digest digest = Sha256("a tokenizer");
  head.append(reinterpret_cast<const char*>(digest.data()), 32);
  head.append(56, '\0');
  EXPECT_EQ(bytes.substr(0, 128), head);
  EXPECT_EQ(bytes.substr(128, 16), std::string("\1\0\x2b\1\2\0\1\0\2\0\0\0\0\0\0\0", 16));
  EXPECT_EQ(bytes.substr(144), std::string("\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0", 16));
}

TEST(TokenShardFormat, ComesBackInBothWidths) {
  for (const uint32_t vocabulary : {3u, 65536u, 65537u, 2147483647u}) {
    for (const size_t count : {1, 2, 3, 4, 5, 1001}) {
      std::vector<int32_t> tokens(count);
      for (size_t i = 0; i < count; ++i) tokens[i] = static_cast<int32_t>(i * 7919 % vocabulary);
      tokens.back() = static_cast<int32_t>(vocabulary - 1);
      std::vector<uint64_t> starts = {0};
      if (count > 4) starts.insert(starts.end(), {1, 4});
      const std::string bytes = EncodeTokenShard(Header(vocabulary), tokens, starts);
      const auto view = DecodeTokenShard(bytes, "x");
      ASSERT_TRUE(view.ok()) << view.status();
      EXPECT_EQ(view->token_bytes, vocabulary <= 65536 ? 2 : 4);
      EXPECT_EQ(view->header.vocabulary_size, vocabulary);
      EXPECT_EQ(view->header.tokenizer, Sha256("a tokenizer"));
      ASSERT_EQ(view->token_count, count);
      ASSERT_EQ(view->document_count, starts.size());
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(view->Token(i), tokens[i]);
      for (size_t i = 0; i < starts.size(); ++i) ASSERT_EQ(view->DocumentStart(i), starts[i]);
    }
  }
}

TEST(TokenShardFormat, AnEmptyShardIsSound) {
  const std::string bytes = EncodeTokenShard(Header(300), {}, {});
  EXPECT_EQ(bytes.size(), 128);
  EXPECT_TRUE(DecodeTokenShard(bytes, "x").ok());
}

TEST(TokenShardFormat, RefusesEveryTruncationAndWhatFollows) {
  const std::string bytes = Small();
  for (size_t length = 0; length < bytes.size(); ++length)
    ExpectDamaged(bytes.substr(0, length), length < 128 ? "a header has 128" : "after the header");
  ExpectDamaged(bytes + '\0', "after the header");
}

TEST(TokenShardFormat, RefusesEveryChangedBitOfTheHeaderButTheTokenizers) {
  const std::string bytes = Small();
  for (size_t bit = 0; bit < 128 * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    const auto view = DecodeTokenShard(changed, "x");
    const size_t at = bit / 8;
    const bool tokenizer = at >= 40 && at < 72;
    // Another vocabulary of 16-bit ids is another sound header.
    const bool vocabulary = at == 32 || at == 33;
    // Seven tokens instead of five: what follows the fifth is zeros, which are ids as well.
    const bool two_more = bit == 16 * 8 + 1;
    EXPECT_EQ(view.ok(), tokenizer || vocabulary || two_more) << "byte " << at;
  }
}

TEST(TokenShardFormat, RefusesCountsThatTheFileDoesNotHold) {
  for (const uint64_t count :
       {uint64_t{0}, uint64_t{6}, uint64_t{9}, uint64_t{1} << 40, uint64_t{1} << 62,
        uint64_t{1} << 63, (uint64_t{1} << 63) + 5, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    // A sixth token would lie in the zeros that fill up to eight bytes: starts say otherwise.
    if (count != 6) ExpectDamaged(With(Small(), 16, count), "after the header");
    ExpectDamaged(With(Small(), 24, count), "after the header");
  }
  // Together the products would wrap to what the file has.
  ExpectDamaged(With(With(Small(), 16, uint64_t{5} + (uint64_t{1} << 63)), 24, uint64_t{2}),
                "after the header");
}

TEST(TokenShardFormat, RefusesStartsOutOfOrder) {
  ExpectDamaged(With(Small(), 144, uint64_t{1}), "document 0 starts at token 1");
  for (const uint64_t start : {uint64_t{0}, uint64_t{5}, uint64_t{6}, ~uint64_t{0}})
    ExpectDamaged(With(Small(), 152, start), "document 1 starts at token ");
  const std::string no_documents = With(With(Small(), 24, uint64_t{0}), 16, uint64_t{16});
  ExpectDamaged(no_documents, "tokens without documents");
  ExpectDamaged(With(Small(), 138, uint8_t{1}), "not zero");
}

TEST(TokenShardFormat, RefusesOtherVersionsAndWidths) {
  ExpectDamaged(With(Small(), 0, 'W'), "begin with \"weftshrd\"");
  ExpectDamaged(With(Small(), 8, uint32_t{2}), "format version 2, this program reads 1");
  ExpectDamaged(With(Small(), 12, uint32_t{4}), "4 bytes a token, 2 expected");
  ExpectDamaged(With(Small(), 12, uint32_t{0}), "0 bytes a token");
  ExpectDamaged(With(Small(), 32, uint32_t{0}), "vocabulary of 0");
  ExpectDamaged(With(Small(), 32, uint32_t{1} << 31), "vocabulary of 2147483648");
}

TEST(TokenShardFormat, ReadsIdsOutsideTheVocabularyAsUnknown) {
  const std::string small = With(Small(), 130, uint16_t{300});
  EXPECT_EQ(DecodeTokenShard(small, "x")->Token(1), kUnknownId);
  const std::string large =
      EncodeTokenShard(Header(70000), std::vector<int32_t>{5, 6}, std::vector<uint64_t>{0});
  const std::string damaged = With(large, 128, uint32_t{0xffffffff});
  EXPECT_EQ(DecodeTokenShard(damaged, "x")->Token(0), kUnknownId);
  EXPECT_EQ(DecodeTokenShard(damaged, "x")->Token(1), 6);
}

TEST(TokenShardFormatDeathTest, StopsAtOurOwnMistakes) {
  const std::string bytes = Small();
  const auto view = DecodeTokenShard(bytes, "x");
  EXPECT_DEATH(view->Token(5), "");
  EXPECT_DEATH(view->DocumentStart(2), "");
  EXPECT_DEATH(EncodeTokenShard(Header(300), std::vector<int32_t>{300}, std::vector<uint64_t>{0}),
               "");
}

}  // namespace
}  // namespace weft
