#include "worker/training/checkpoint.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "proto/check.h"
#include "proto/digest.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"

namespace weft {
namespace {

static_assert(std::endian::native == std::endian::little, "the file holds little-endian floats");

constexpr absl::string_view kMagic = "weftckp1";
constexpr uint64_t kHeaderBytesMax = uint64_t{1} << 20;
constexpr uint64_t kDigestBytes = 32;
constexpr size_t kPieceBytes = size_t{4} << 20;
constexpr uint32_t kVersion = 1;

absl::string_view AsBytes(absl::Span<const float> vector) {
  return {reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)};
}

// Reads a file in order, hashing what it reads and never past its length.
class HashingReader {
 public:
  explicit HashingReader(const std::string& path) : file_(path, std::ios::binary) {
    std::error_code error;
    left_ = std::filesystem::file_size(path, error);
    if (error || !file_) left_ = 0;
  }
  uint64_t left() const { return left_; }
  bool Read(char* out, uint64_t bytes) {
    if (bytes > left_) return false;
    for (uint64_t done = 0; done < bytes;) {
      const uint64_t piece = std::min<uint64_t>(kPieceBytes, bytes - done);
      if (!file_.read(out + done, static_cast<std::streamsize>(piece))) return false;
      hasher_.Update({out + done, piece});
      done += piece;
    }
    left_ -= bytes;
    return true;
  }
  Digest Finish() { return hasher_.Finish(); }

 private:
  std::ifstream file_;
  uint64_t left_ = 0;
  Sha256Hasher hasher_;
};

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": damaged checkpoint: ", what));
}

absl::StatusOr<CheckpointHeader> ReadHeader(const std::string& path, HashingReader* reader) {
  char head[16];
  if (!reader->Read(head, sizeof(head))) return Damaged(path, "shorter than its header");
  if (absl::string_view(head, kMagic.size()) != kMagic) return Damaged(path, "not a checkpoint");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, head + kMagic.size(), sizeof(header_bytes));
  if (header_bytes > kHeaderBytesMax || header_bytes > reader->left()) {
    return Damaged(path, absl::StrCat("header of ", header_bytes, " bytes"));
  }
  std::string text(header_bytes, '\0');
  if (!reader->Read(text.data(), header_bytes)) return Damaged(path, "cannot read the header");
  CheckpointHeader header;
  if (absl::Status status = ParseTextProto(text, path, &header); !status.ok()) {
    return Damaged(path, status.message());
  }
  if (header.version() != kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": checkpoint of version ", header.version(), ", this worker reads ",
                     kVersion, ": go on with the worker that wrote it"));
  }
  return header;
}

}  // namespace

absl::Status WriteCheckpoint(const std::string& path, const CheckpointHeader& header,
                             absl::Span<const absl::Span<const float>> vectors) {
  WEFT_CHECK(static_cast<size_t>(header.vectors_size()) == vectors.size());
  const std::string text = PrintTextProto(header);
  WEFT_CHECK(text.size() <= kHeaderBytesMax);
  const uint64_t header_bytes = text.size();
  std::string head(kMagic);
  head.append(reinterpret_cast<const char*>(&header_bytes), sizeof(header_bytes));
  head += text;

  auto file = DurableFile::Create(path);
  if (!file.ok()) return file.status();
  Sha256Hasher hasher;
  hasher.Update(head);
  if (absl::Status status = (*file)->Append(head); !status.ok()) return status;
  for (size_t i = 0; i < vectors.size(); ++i) {
    WEFT_CHECK(header.vectors(static_cast<int>(i)).element_count() == vectors[i].size());
    const absl::string_view bytes = AsBytes(vectors[i]);
    for (size_t begin = 0; begin < bytes.size(); begin += kPieceBytes) {
      const absl::string_view piece = bytes.substr(begin, kPieceBytes);
      hasher.Update(piece);
      if (absl::Status status = (*file)->Append(piece); !status.ok()) return status;
    }
  }
  if (absl::Status status = (*file)->Append(ToBytes(hasher.Finish())); !status.ok()) return status;
  return (*file)->Commit();
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  HashingReader reader(path);
  absl::StatusOr<CheckpointHeader> header = ReadHeader(path, &reader);
  if (!header.ok()) return header.status();
  uint64_t left = reader.left();
  for (const CheckpointVector& vector : header->vectors()) {
    if (vector.element_count() > left / sizeof(float)) {
      return Damaged(path, absl::StrCat("vector ", vector.name(), " is longer than the file"));
    }
    left -= vector.element_count() * sizeof(float);
  }
  if (left != kDigestBytes) {
    return Damaged(
        path, absl::StrCat(left, " bytes follow the vectors, expected a digest of ", kDigestBytes));
  }
  Checkpoint checkpoint{*std::move(header), {}};
  for (const CheckpointVector& vector : checkpoint.header.vectors()) {
    ParameterVector& values = checkpoint.vectors.emplace_back(vector.element_count());
    if (!reader.Read(reinterpret_cast<char*>(values.data()), values.size() * sizeof(float))) {
      return Damaged(path, absl::StrCat("cannot read vector ", vector.name()));
    }
  }
  const std::string expected = ToBytes(reader.Finish());
  std::string found(kDigestBytes, '\0');
  if (!reader.Read(found.data(), kDigestBytes) || found != expected) {
    return Damaged(path, "its SHA-256 does not fit its content");
  }
  return checkpoint;
}

absl::StatusOr<CheckpointFolder> CheckpointFolder::Open(std::string folder) {
  if (absl::Status status = MakeDirectories(folder); !status.ok()) return status;
  RemoveAbandonedFiles(folder);
  return CheckpointFolder(std::move(folder));
}

std::string CheckpointFolder::PathOf(uint64_t number) const {
  return absl::StrCat(folder_, "/", absl::StrFormat("checkpoint-%08d.weft", number));
}

absl::StatusOr<std::vector<uint64_t>> CheckpointFolder::Numbers() const {
  std::vector<uint64_t> numbers;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    absl::string_view digits = name;
    uint64_t number = 0;
    if (absl::ConsumePrefix(&digits, "checkpoint-") && absl::ConsumeSuffix(&digits, ".weft") &&
        std::from_chars(digits.begin(), digits.end(), number).ptr == digits.end() &&
        PathOf(number) == absl::StrCat(folder_, "/", name)) {
      numbers.push_back(number);
    }
  }
  if (error) {
    return absl::UnavailableError(absl::StrCat(folder_, ": cannot list: ", error.message()));
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

absl::StatusOr<std::optional<Checkpoint>> CheckpointFolder::LoadNewest(
    std::vector<std::string>* warnings) {
  absl::StatusOr<std::vector<uint64_t>> numbers = Numbers();
  if (!numbers.ok()) return numbers.status();
  for (auto number = numbers->rbegin(); number != numbers->rend(); ++number) {
    absl::StatusOr<Checkpoint> checkpoint = ReadCheckpoint(PathOf(*number));
    if (checkpoint.ok()) {
      good_ = *number;
      return *std::move(checkpoint);
    }
    if (!absl::IsDataLoss(checkpoint.status())) return checkpoint.status();
    warnings->push_back(
        absl::StrCat(checkpoint.status().message(), "; the one before it is taken"));
  }
  if (numbers->empty()) return std::nullopt;
  return absl::DataLossError(
      absl::StrCat(folder_, ": all ", numbers->size(),
                   " checkpoints are damaged. Move the folder away to go on from the newest "
                   "consensus with a cold optimizer"));
}

absl::Status CheckpointFolder::Save(const CheckpointHeader& header,
                                    absl::Span<const absl::Span<const float>> vectors) {
  absl::StatusOr<std::vector<uint64_t>> numbers = Numbers();
  if (!numbers.ok()) return numbers.status();
  const uint64_t next = numbers->empty() ? 1 : numbers->back() + 1;
  if (absl::Status status = WriteCheckpoint(PathOf(next), header, vectors); !status.ok()) {
    return status;
  }
  for (uint64_t number : *numbers) {
    if (number == good_) continue;
    std::error_code error;
    std::filesystem::remove(PathOf(number), error);
    if (error) {
      return absl::UnavailableError(
          absl::StrCat(PathOf(number), ": cannot remove: ", error.message()));
    }
  }
  good_ = next;
  return absl::OkStatus();
}

}  // namespace weft
