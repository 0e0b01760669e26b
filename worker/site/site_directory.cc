#include "worker/site/site_directory.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "model/parameters/fragment_range.h"
#include "model/parameters/parameter_codec.h"
#include "proto/check.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"

namespace weft {
namespace {

// Stop reasons are a sentence, written by us; longer text is cut when read.
constexpr size_t kStopReasonBytesMax = 4096;

std::string RoundFile(uint64_t round) { return absl::StrFormat("round-%06d.textproto", round); }

// The rounds that a folder has files of, sorted. Other names (temporary files too) are passed over.
absl::StatusOr<std::vector<uint64_t>> RoundsIn(const std::string& folder) {
  std::vector<uint64_t> rounds;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    absl::string_view digits = name;
    if (!absl::ConsumePrefix(&digits, "round-") || !absl::ConsumeSuffix(&digits, ".textproto")) {
      continue;
    }
    uint64_t round = 0;
    const auto [stop, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), round);
    if (wrong == std::errc() && stop == digits.data() + digits.size() && RoundFile(round) == name) {
      rounds.push_back(round);
    }
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(folder, ": cannot list the folder: ", error.message()));
  }
  std::sort(rounds.begin(), rounds.end());
  return rounds;
}

// A message of one round; none where there is no file. Files are renamed into place whole, so one
// that does not parse was damaged or written by hand.
template <typename Message>
absl::StatusOr<std::optional<Message>> ReadRound(const std::string& path, uint64_t round) {
  Message message;
  const absl::Status status = ReadTextProto(path, &message);
  if (absl::IsNotFound(status)) return std::nullopt;
  if (!status.ok()) {
    return absl::DataLossError(absl::StrCat(status.message(),
                                            "; the file is damaged: remove it, and the program "
                                            "that wrote it (gate or worker) writes it again"));
  }
  if (message.round() != round) {
    return absl::DataLossError(
        absl::StrCat(path, ": speaks of round ", message.round(), ", its name of ", round));
  }
  return message;
}

absl::Status RemoveFile(const std::string& path) {
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error)
    return absl::UnavailableError(absl::StrCat(path, ": cannot remove: ", error.message()));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SiteDirectory> SiteDirectory::Open(std::string folder) {
  for (const char* part : {"/orders", "/results", "/checkpoints"}) {
    if (absl::Status status = MakeDirectories(folder + part); !status.ok()) return status;
    RemoveAbandonedFiles(folder + part);
  }
  RemoveAbandonedFiles(folder);
  absl::StatusOr<BlobDirectory> blobs = BlobDirectory::Open(folder + "/blobs");
  if (!blobs.ok()) return blobs.status();
  return SiteDirectory(std::move(folder), *std::move(blobs));
}

std::string SiteDirectory::OrderPath(uint64_t round) const {
  return absl::StrCat(folder_, "/orders/", RoundFile(round));
}

std::string SiteDirectory::ResultPath(uint64_t round) const {
  return absl::StrCat(folder_, "/results/", RoundFile(round));
}

absl::Status SiteDirectory::WriteOrder(const RoundOrder& order) const {
  return WriteTextProto(OrderPath(order.round()), order);
}

absl::StatusOr<std::optional<RoundOrder>> SiteDirectory::NewestOrder() const {
  // The newest may be removed between listing and reading, by a gate that has gone on: then there
  // is a newer one.
  for (int attempt = 0; attempt < 3; ++attempt) {
    absl::StatusOr<std::vector<uint64_t>> rounds = RoundsIn(folder_ + "/orders");
    if (!rounds.ok()) return rounds.status();
    if (rounds->empty()) return std::nullopt;
    auto order = ReadRound<RoundOrder>(OrderPath(rounds->back()), rounds->back());
    if (!order.ok() || order->has_value()) return order;
  }
  return std::nullopt;
}

absl::Status SiteDirectory::WriteResult(const RoundResult& result) const {
  return WriteTextProto(ResultPath(result.round()), result);
}

absl::StatusOr<std::optional<RoundResult>> SiteDirectory::ResultOf(uint64_t round) const {
  return ReadRound<RoundResult>(ResultPath(round), round);
}

absl::Status SiteDirectory::RemoveResult(uint64_t round) const {
  if (absl::Status status = RemoveFile(ResultPath(round)); !status.ok()) return status;
  return SyncDirectory(folder_ + "/results");
}

absl::StatusOr<Digest> SiteDirectory::WriteVector(const Digest& layout,
                                                  absl::Span<const float> vector) const {
  VectorHeader header;
  header.element_count = vector.size();
  header.layout = layout;
  return weft::WriteVector(blobs_, header, vector, {});
}

absl::StatusOr<Digest> SiteDirectory::WriteFragment(const Digest& layout, const FragmentOf& of,
                                                    absl::Span<const float> elements) const {
  WEFT_CHECK(elements.size() ==
             RangeOfFragment(of.element_count, of.fragment_count, of.fragment).size);
  VectorHeader header;
  header.element_count = elements.size();
  header.layout = layout;
  header.fragment = of.fragment;
  header.fragment_count = of.fragment_count;
  return weft::WriteVector(blobs_, header, elements, {});
}

absl::StatusOr<ParameterVector> SiteDirectory::ReadPart(const Digest& digest, const Digest& layout,
                                                        uint32_t fragment_count,
                                                        uint32_t fragment) const {
  if (absl::Status status = blobs_.Verify(digest); !status.ok()) return status;
  const std::string path = blobs_.PathOf(digest);
  absl::StatusOr<VectorReader> reader = VectorReader::Open(path);
  if (!reader.ok()) return reader.status();
  const VectorHeader& header = reader->header();
  if (header.encoding != Encoding::kParametersFp32 || header.layout != layout) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is in ", EncodingName(header.encoding), " of layout ", ToHex(header.layout),
        ", expected is ", EncodingName(Encoding::kParametersFp32), " of ", ToHex(layout)));
  }
  if (header.fragment_count != fragment_count || header.fragment != fragment) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is fragment ", header.fragment, " of ",
                                                   header.fragment_count, ", expected is ",
                                                   fragment, " of ", fragment_count));
  }
  ParameterVector elements(header.element_count);
  if (absl::Status status = reader->Read(0, {}, elements.span()); !status.ok()) return status;
  return elements;
}

absl::StatusOr<ParameterVector> SiteDirectory::ReadVector(const Digest& digest,
                                                          const Digest& layout) const {
  return ReadPart(digest, layout, 1, 0);
}

absl::StatusOr<ParameterVector> SiteDirectory::ReadFragment(const Digest& digest,
                                                            const Digest& layout,
                                                            const FragmentOf& of) const {
  absl::StatusOr<ParameterVector> elements =
      ReadPart(digest, layout, of.fragment_count, of.fragment);
  if (!elements.ok()) return elements.status();
  const uint64_t expected = RangeOfFragment(of.element_count, of.fragment_count, of.fragment).size;
  if (elements->size() != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat(blobs_.PathOf(digest), ": has ", elements->size(), " elements, fragment ",
                     of.fragment, " of ", of.fragment_count, " has ", expected));
  }
  return elements;
}

absl::Status SiteDirectory::WriteProgress(const WorkerProgress& progress) const {
  return WriteTextProto(folder_ + "/progress.textproto", progress);
}

absl::StatusOr<std::optional<WorkerProgress>> SiteDirectory::Progress() const {
  WorkerProgress progress;
  const absl::Status status = ReadTextProto(folder_ + "/progress.textproto", &progress);
  if (absl::IsNotFound(status)) return std::nullopt;
  if (!status.ok()) return status;
  return progress;
}

absl::Status SiteDirectory::Stop(const std::string& reason) const {
  return WriteFileDurably(folder_ + "/stop", reason.substr(0, kStopReasonBytesMax));
}

std::optional<std::string> SiteDirectory::StopReason() const {
  const std::string path = folder_ + "/stop";
  absl::StatusOr<std::string> reason = ReadWholeFile(path, kStopReasonBytesMax);
  if (reason.ok()) return *std::move(reason);
  if (absl::IsNotFound(reason.status())) return std::nullopt;
  // Someone asked to stop, in words that cannot be read: stopping is the safe answer.
  return absl::StrCat("the file ", path, " is there but cannot be read");
}

absl::Status SiteDirectory::ClearStop() const {
  if (absl::Status status = RemoveFile(folder_ + "/stop"); !status.ok()) return status;
  return SyncDirectory(folder_);
}

absl::StatusOr<std::unique_ptr<WorkerLock>> SiteDirectory::AcquireWorkerLock() const {
  return WorkerLock::Acquire(folder_ + "/worker.lock");
}

absl::Status SiteDirectory::RemoveBefore(uint64_t round,
                                         const std::vector<std::string>& keep) const {
  std::set<std::string> needed(keep.begin(), keep.end());
  std::set<std::string> unneeded;
  std::vector<std::string> files;
  const auto orders = RoundsIn(folder_ + "/orders");
  if (!orders.ok()) return orders.status();
  for (uint64_t r : *orders) {
    const auto order = ReadRound<RoundOrder>(OrderPath(r), r);
    // A damaged file names nothing; the vectors that it may have named are left.
    if (order.ok() && order->has_value()) {
      std::set<std::string>& names = r < round ? unneeded : needed;
      names.insert({(*order)->base_digest(), (*order)->anchor_digest()});
      names.insert((*order)->fragment_digests().begin(), (*order)->fragment_digests().end());
    }
    if (r < round) files.push_back(OrderPath(r));
  }
  const auto results = RoundsIn(folder_ + "/results");
  if (!results.ok()) return results.status();
  for (uint64_t r : *results) {
    const auto result = ReadRound<RoundResult>(ResultPath(r), r);
    if (result.ok() && result->has_value()) {
      for (const std::string& digest : {(*result)->base_digest(), (*result)->vector_digest()}) {
        (r < round ? unneeded : needed).insert(digest);
      }
    }
    if (r < round) files.push_back(ResultPath(r));
  }
  // Vectors first: if we are stopped here, the files still name them, and the next call goes on.
  for (const std::string& name : unneeded) {
    const absl::StatusOr<Digest> digest = DigestFromHex(name);
    if (!digest.ok() || needed.contains(name) || !blobs_.Has(*digest)) continue;
    if (absl::Status status = blobs_.Remove(*digest); !status.ok()) return status;
  }
  for (const std::string& path : files) {
    if (absl::Status status = RemoveFile(path); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace weft
