#include "coordinator/server/step_vectors.h"

#include "absl/strings/str_cat.h"

namespace weft {

absl::StatusOr<VectorReader> OpenNamed(const BlobDirectory& blobs,
                                       const std::string& digest_bytes) {
  const absl::StatusOr<Digest> digest = DigestFromBytes(digest_bytes);
  if (!digest.ok()) return digest.status();
  if (absl::Status status = blobs.Verify(*digest); !status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat(status.message(),
                                     "; nothing was computed from it: weft-coordinator check lists "
                                     "what is damaged, repair mends what can be proved"));
  }
  return VectorReader::Open(blobs.PathOf(*digest));
}

absl::StatusOr<VectorWriter> VectorWriter::Create(const BlobDirectory& blobs,
                                                  const VectorHeader& header) {
  absl::StatusOr<std::unique_ptr<BlobWriter>> blob = blobs.NewBlob();
  if (!blob.ok()) return blob.status();
  if (absl::Status status = (*blob)->Append(PrintVectorHeader(header)); !status.ok()) {
    return status;
  }
  return VectorWriter(header, *std::move(blob));
}

absl::Status VectorWriter::Append(absl::Span<const float> x, absl::Span<const float> base,
                                  uint64_t first, std::string* encoded) {
  encoded->clear();
  absl::Status status = EncodeElements(header_.encoding, x, base, first, encoded);
  return status.ok() ? blob_->Append(*encoded) : status;
}

absl::StatusOr<std::string> VectorWriter::Commit() {
  const absl::StatusOr<Digest> digest = blob_->Commit();
  if (!digest.ok()) return digest.status();
  return ToBytes(*digest);
}

absl::Status CommitTo(std::optional<VectorWriter>* writer, std::string* digest) {
  if (!writer->has_value()) return absl::OkStatus();
  absl::StatusOr<std::string> committed = (*writer)->Commit();
  if (!committed.ok()) return committed.status();
  *digest = *std::move(committed);
  return absl::OkStatus();
}

absl::Status StateVector::Open(const BlobDirectory& blobs, const VectorHeader& header,
                               const std::string& digest) {
  if (!digest.empty()) {
    absl::StatusOr<VectorReader> reader = OpenNamed(blobs, digest);
    if (!reader.ok()) return reader.status();
    before = *std::move(reader);
  }
  absl::StatusOr<VectorWriter> writer = VectorWriter::Create(blobs, header);
  if (!writer.ok()) return writer.status();
  after = *std::move(writer);
  return absl::OkStatus();
}

absl::Status StateVector::Read(uint64_t first, uint64_t count) {
  if (!after.has_value()) return absl::OkStatus();
  block.assign(count, initial);
  return before.has_value() ? before->Read(first, {}, absl::MakeSpan(block)) : absl::OkStatus();
}

absl::Status StateVector::Write(uint64_t first, std::string* encoded) {
  return after.has_value() ? after->Append(block, {}, first, encoded) : absl::OkStatus();
}

absl::Status ContributionBlocks::Open(const BlobDirectory& contributions,
                                      const BlobDirectory& vectors, const RoundRecord& record,
                                      const std::string& base_digest, bool absolute) {
  absolute_ = absolute;
  for (const StoredContribution& contribution : record.contributions()) {
    absl::StatusOr<VectorReader> x = OpenNamed(contributions, contribution.digest());
    if (!x.ok()) return x.status();
    inputs_.push_back({.x = *std::move(x), .older_base = std::nullopt, .block = {}});
    const bool older =
        !contribution.base_digest().empty() && contribution.base_digest() != base_digest;
    // An encoded change is a change already, a whole vector is itself already.
    if (!older || IsDelta(inputs_.back().x.header().encoding) != absolute) continue;
    absl::StatusOr<VectorReader> base = OpenNamed(vectors, contribution.base_digest());
    if (!base.ok()) return base.status();
    inputs_.back().older_base = *std::move(base);
  }
  return absl::OkStatus();
}

absl::Status ContributionBlocks::Read(uint64_t begin, absl::Span<const float> z) {
  for (Input& input : inputs_) {
    if (absl::Status status = ReadOne(begin, z, &input); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ContributionBlocks::ReadOne(uint64_t begin, absl::Span<const float> z, Input* input) {
  absl::Span<const float> base = z;
  if (input->older_base.has_value()) {
    older_base_.resize(z.size());
    absl::Status status = input->older_base->Read(begin, {}, absl::MakeSpan(older_base_));
    if (!status.ok()) return status;
    base = older_base_;
  }
  std::vector<float>& x = input->block;
  x.resize(z.size());
  const bool delta = IsDelta(input->x.header().encoding);
  absl::Status status = input->x.Read(
      begin, delta ? (absolute_ ? base : z) : absl::Span<const float>(), absl::MakeSpan(x));
  if (!status.ok() || delta || !input->older_base.has_value()) return status;
  // What a late site has learnt since its older base, from the base of today.
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(double{z[i]} + (double{x[i]} - double{base[i]}));
  }
  return absl::OkStatus();
}

std::vector<absl::Span<const float>> ContributionBlocks::blocks() const {
  std::vector<absl::Span<const float>> blocks;
  for (const Input& input : inputs_) blocks.push_back(input.block);
  return blocks;
}

bool ContributionBlocks::AllHave(uint64_t element_count) const {
  for (const Input& input : inputs_) {
    if (input.x.header().element_count != element_count) return false;
  }
  return true;
}

}  // namespace weft
