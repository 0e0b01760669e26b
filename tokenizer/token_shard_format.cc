#include "tokenizer/token_shard_format.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tokenizer/tokenizer.h"

namespace weft {
namespace {

static_assert(std::endian::native == std::endian::little,
              "shards are mapped as they lie in the file");

constexpr absl::string_view kMagic = "weftshrd";
constexpr uint32_t kFormatVersion = 1;
constexpr uint32_t kSmallVocabularyMax = 65536;

// As the header lies in the file.
struct RawHeader {
  char magic[8];
  uint32_t version;
  uint32_t token_bytes;
  uint64_t token_count;
  uint64_t document_count;
  uint32_t vocabulary_size;
  uint32_t reserved;
  uint8_t tokenizer[32];
  uint8_t padding[56];
};
static_assert(sizeof(RawHeader) == kTokenShardHeaderBytes);

uint32_t TokenBytes(uint32_t vocabulary_size) {
  return vocabulary_size <= kSmallVocabularyMax ? 2 : 4;
}
uint64_t PadTo8(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

absl::Status Damaged(absl::string_view source, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(source, ": not a sound token shard: ", what,
                                          "; prepare the text again with weft-tokenizer prepare"));
}

absl::Status CheckHeader(const RawHeader& raw, uint64_t file_bytes, absl::string_view source) {
  if (absl::string_view(raw.magic, 8) != kMagic)
    return Damaged(source, "it does not begin with \"weftshrd\"");
  if (raw.version != kFormatVersion) {
    return Damaged(source, absl::StrCat("format version ", raw.version, ", this program reads ",
                                        kFormatVersion));
  }
  if (raw.vocabulary_size == 0 || raw.vocabulary_size > INT32_MAX) {
    return Damaged(source, absl::StrCat("vocabulary of ", raw.vocabulary_size));
  }
  if (raw.token_bytes != TokenBytes(raw.vocabulary_size)) {
    return Damaged(
        source, absl::StrCat(raw.token_bytes, " bytes a token, ", TokenBytes(raw.vocabulary_size),
                             " expected for a vocabulary of ", raw.vocabulary_size));
  }
  const auto zero = [](uint8_t byte) { return byte == 0; };
  if (raw.reserved != 0 || !std::all_of(std::begin(raw.padding), std::end(raw.padding), zero)) {
    return Damaged(source, "reserved bytes of the header are not zero");
  }
  // The counts are bounded by the file before they are multiplied.
  const uint64_t body = file_bytes - kTokenShardHeaderBytes;
  if (raw.token_count > body / raw.token_bytes || raw.document_count > body / 8 ||
      PadTo8(raw.token_count * raw.token_bytes) + raw.document_count * 8 != body) {
    return Damaged(source,
                   absl::StrCat(body, " bytes after the header, which says ", raw.token_count,
                                " tokens and ", raw.document_count, " documents"));
  }
  return absl::OkStatus();
}

}  // namespace

int32_t TokenShardView::Token(uint64_t index) const {
  WEFT_CHECK(index < token_count);
  uint32_t id = 0;
  std::memcpy(&id, tokens + index * token_bytes, token_bytes);
  return id < header.vocabulary_size ? static_cast<int32_t>(id) : kUnknownId;
}

uint64_t TokenShardView::DocumentStart(uint64_t document) const {
  WEFT_CHECK(document < document_count);
  uint64_t start;
  std::memcpy(&start, starts + document * 8, 8);
  return start;
}

std::string EncodeTokenShard(const TokenShardHeader& header, absl::Span<const int32_t> tokens,
                             absl::Span<const uint64_t> starts) {
  RawHeader raw = {};
  std::memcpy(raw.magic, kMagic.data(), 8);
  raw.version = kFormatVersion;
  raw.token_bytes = TokenBytes(header.vocabulary_size);
  raw.token_count = tokens.size();
  raw.document_count = starts.size();
  raw.vocabulary_size = header.vocabulary_size;
  std::memcpy(raw.tokenizer, header.tokenizer.data(), 32);

  const uint64_t starts_at = kTokenShardHeaderBytes + PadTo8(tokens.size() * raw.token_bytes);
  std::string bytes(starts_at + starts.size() * 8, '\0');
  std::memcpy(bytes.data(), &raw, sizeof(raw));
  char* out = bytes.data() + kTokenShardHeaderBytes;
  for (const int32_t token : tokens) {
    WEFT_CHECK(token >= 0 && static_cast<uint32_t>(token) < header.vocabulary_size);
    std::memcpy(out, &token, raw.token_bytes);
    out += raw.token_bytes;
  }
  if (!starts.empty()) std::memcpy(bytes.data() + starts_at, starts.data(), starts.size() * 8);
  return bytes;
}

absl::StatusOr<TokenShardView> DecodeTokenShard(absl::string_view bytes, absl::string_view source) {
  if (bytes.size() < kTokenShardHeaderBytes) {
    return Damaged(source,
                   absl::StrCat(bytes.size(), " bytes, a header has ", kTokenShardHeaderBytes));
  }
  RawHeader raw;
  std::memcpy(&raw, bytes.data(), sizeof(raw));
  if (absl::Status status = CheckHeader(raw, bytes.size(), source); !status.ok()) return status;

  TokenShardView view;
  view.header.vocabulary_size = raw.vocabulary_size;
  std::memcpy(view.header.tokenizer.data(), raw.tokenizer, 32);
  view.token_count = raw.token_count;
  view.document_count = raw.document_count;
  view.token_bytes = static_cast<int>(raw.token_bytes);
  view.tokens = bytes.data() + kTokenShardHeaderBytes;
  view.starts = view.tokens + PadTo8(raw.token_count * raw.token_bytes);
  const auto zero = [](char byte) { return byte == 0; };
  if (!std::all_of(view.tokens + view.token_count * raw.token_bytes, view.starts, zero))
    return Damaged(source, "the bytes between tokens and document starts are not zero");
  if ((view.token_count == 0) != (view.document_count == 0))
    return Damaged(source, "tokens without documents");
  for (uint64_t i = 0; i < view.document_count; ++i) {
    const uint64_t start = view.DocumentStart(i);
    const bool in_order = i == 0 ? start == 0 : start > view.DocumentStart(i - 1);
    if (!in_order || start >= view.token_count) {
      return Damaged(source, absl::StrCat("document ", i, " starts at token ", start));
    }
  }
  return view;
}

}  // namespace weft
