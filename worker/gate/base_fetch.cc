#include "worker/gate/base_fetch.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/parameters/parameter_codec.h"
#include "ops/log.h"

namespace weft {
namespace {

constexpr uint64_t kBlockElements = uint64_t{1} << 18;

// A vector that is to lie in the site directory: whole, or a fragment.
struct Wanted {
  std::string digest;
  uint64_t bytes = 0;
  std::string delta_digest;  // empty: there is none
  uint64_t delta_bytes = 0;
  std::string delta_base_digest;
};

absl::Status CheckHeader(const VectorHeader& header, const Digest& layout, bool delta) {
  if (header.layout != layout) {
    return absl::FailedPreconditionError(
        absl::StrCat("the consensus is of layout ", ToHex(header.layout),
                     ", the accepted manifest says ", ToHex(layout)));
  }
  if (IsDelta(header.encoding) != delta)
    return absl::FailedPreconditionError("the blob is of another encoding than said");
  return absl::OkStatus();
}

// Gives the new blob its name if that is `wanted`; otherwise nothing stays.
absl::Status CommitAs(const BlobDirectory& blobs, BlobWriter* writer, const Digest& wanted) {
  absl::StatusOr<Digest> got = writer->Commit();
  if (!got.ok()) return got.status();
  if (*got == wanted) return absl::OkStatus();
  (void)blobs.Remove(*got);
  return absl::DataLossError(
      absl::StrCat("leads to digest ", ToHex(*got), ", the round's base is ", ToHex(wanted)));
}

absl::Status CopyWhole(const BaseFetch& fetch, const std::string& path, const Digest& wanted) {
  absl::StatusOr<VectorReader> reader = VectorReader::Open(path);
  if (!reader.ok()) return reader.status();
  if (absl::Status status = CheckHeader(reader->header(), fetch.layout, false); !status.ok())
    return status;
  absl::StatusOr<std::unique_ptr<BlobWriter>> writer = fetch.site_blobs->NewBlob();
  if (!writer.ok()) return writer.status();
  std::ifstream file(path, std::ios::binary);
  std::string buffer(kChunkBytes, '\0');
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         file.gcount() > 0) {
    absl::Status status =
        (*writer)->Append(absl::string_view(buffer.data(), static_cast<size_t>(file.gcount())));
    if (!status.ok()) return status;
  }
  return CommitAs(*fetch.site_blobs, writer->get(), wanted);
}

// new = fp32(base + delta), block by block, as parameters_fp32.
absl::Status ApplyDelta(const BaseFetch& fetch, const std::string& delta_path, const Digest& base,
                        const Digest& wanted) {
  if (absl::Status status = fetch.site_blobs->Verify(base); !status.ok()) return status;
  absl::StatusOr<VectorReader> old = VectorReader::Open(fetch.site_blobs->PathOf(base));
  if (!old.ok()) return old.status();
  absl::StatusOr<VectorReader> delta = VectorReader::Open(delta_path);
  if (!delta.ok()) return delta.status();
  if (absl::Status status = CheckHeader(delta->header(), fetch.layout, true); !status.ok())
    return status;
  const uint64_t elements = old->header().element_count;
  if (delta->header().base != base || delta->header().element_count != elements) {
    return absl::DataLossError("the delta is against another vector than said");
  }
  absl::StatusOr<std::unique_ptr<BlobWriter>> writer = fetch.site_blobs->NewBlob();
  if (!writer.ok()) return writer.status();
  absl::Status status = (*writer)->Append(PrintVectorHeader(old->header()));
  std::vector<float> z, x;
  std::string bytes;
  for (uint64_t begin = 0; status.ok() && begin < elements; begin += kBlockElements) {
    const uint64_t count = std::min(kBlockElements, elements - begin);
    z.resize(count);
    x.resize(count);
    status = old->Read(begin, {}, absl::MakeSpan(z));
    if (status.ok()) status = delta->Read(begin, z, absl::MakeSpan(x));
    bytes.clear();
    if (status.ok()) status = EncodeElements(Encoding::kParametersFp32, x, {}, begin, &bytes);
    if (status.ok()) status = (*writer)->Append(bytes);
  }
  if (!status.ok()) return status;
  return CommitAs(*fetch.site_blobs, writer->get(), wanted);
}

// Blobs of rounds that are over.
void RemoveOtherPartials(const std::string& folder, const std::string& keep) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().string() != keep) std::filesystem::remove(entry.path(), error);
  }
}

absl::StatusOr<Refusal> Fetch(const BaseFetch& fetch, const Digest& blob, uint64_t bytes,
                              std::string* path) {
  *path = absl::StrCat(fetch.partial_folder, "/", ToHex(blob));
  RemoveOtherPartials(fetch.partial_folder, *path);
  return fetch.client->Pull(blob, bytes, *path);
}

// OK: the vector is there. Otherwise the reason why the delta did not do.
absl::Status TryDelta(const BaseFetch& fetch, const Wanted& wanted, const Digest& digest) {
  absl::StatusOr<Digest> blob = DigestFromBytes(wanted.delta_digest);
  if (!blob.ok()) return blob.status();
  absl::StatusOr<Digest> base = DigestFromBytes(wanted.delta_base_digest);
  if (!base.ok()) return base.status();
  std::string path;
  absl::StatusOr<Refusal> refusal = Fetch(fetch, *blob, wanted.delta_bytes, &path);
  if (!refusal.ok()) return refusal.status();
  if (refusal->code() != Refusal::NONE)
    return absl::NotFoundError(absl::StrCat("refused: ", refusal->reason()));
  absl::Status applied = ApplyDelta(fetch, path, *base, digest);
  std::filesystem::remove(path);
  return applied;
}

bool MayTryDelta(const BaseFetch& fetch, const Wanted& wanted) {
  if (wanted.delta_digest.empty()) return false;
  const absl::StatusOr<Digest> base = DigestFromBytes(wanted.delta_base_digest);
  return base.ok() && fetch.site_blobs->Has(*base);
}

absl::StatusOr<Refusal> FetchVector(const BaseFetch& fetch, const Wanted& wanted, bool delta) {
  absl::StatusOr<Digest> digest = DigestFromBytes(wanted.digest);
  if (!digest.ok()) return digest.status();
  const absl::Status there = fetch.site_blobs->Verify(*digest);
  if (there.ok()) return Refusal();
  if (!absl::IsNotFound(there)) {
    LogWarning("a base in the site directory is damaged, fetching it again",
               {{"reason", std::string(there.message())}});
    if (absl::Status status = fetch.site_blobs->Remove(*digest); !status.ok()) return status;
  }
  if (delta && MayTryDelta(fetch, wanted)) {
    absl::Status status = TryDelta(fetch, wanted, *digest);
    if (status.ok() || absl::IsCancelled(status))
      return status.ok() ? absl::StatusOr<Refusal>(Refusal()) : status;
    LogWarning("the delta cannot be used, fetching the whole consensus",
               {{"reason", std::string(status.message())}});
  }
  std::string path;
  absl::StatusOr<Refusal> refusal = Fetch(fetch, *digest, wanted.bytes, &path);
  if (!refusal.ok() || refusal->code() != Refusal::NONE) return refusal;
  absl::Status copied = CopyWhole(fetch, path, *digest);
  std::filesystem::remove(path);
  if (!copied.ok()) return copied;
  return Refusal();
}

}  // namespace

absl::StatusOr<Refusal> FetchConsensus(const BaseFetch& fetch, const RoundEvent& round,
                                       bool delta) {
  if (round.fragments().empty()) {
    return FetchVector(fetch,
                       {round.base_digest(), round.base_bytes(), round.delta_digest(),
                        round.delta_bytes(), round.delta_base_digest()},
                       delta);
  }
  for (const FragmentVersion& part : round.fragments()) {
    absl::StatusOr<Refusal> refusal =
        FetchVector(fetch,
                    {part.digest(), part.bytes(), part.delta_digest(), part.delta_bytes(),
                     part.delta_base_digest()},
                    delta);
    if (!refusal.ok() || refusal->code() != Refusal::NONE) return refusal;
  }
  return Refusal();
}

}  // namespace weft
