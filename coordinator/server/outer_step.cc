#include "coordinator/server/outer_step.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace weft {
namespace {

constexpr uint64_t kBlockElements = uint64_t{1} << 16;

// A disk can change a blob after it was checked on arrival, and a wrong consensus must never come
// of it: everything that goes in is hashed once more before it is used.
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

// A vector that is written block by block and then named by its digest.
class VectorWriter {
 public:
  static absl::StatusOr<VectorWriter> Create(const BlobDirectory& blobs,
                                             const VectorHeader& header) {
    absl::StatusOr<std::unique_ptr<BlobWriter>> blob = blobs.NewBlob();
    if (!blob.ok()) return blob.status();
    if (absl::Status status = (*blob)->Append(PrintVectorHeader(header)); !status.ok()) {
      return status;
    }
    return VectorWriter(header, *std::move(blob));
  }
  absl::Status Append(absl::Span<const float> x, absl::Span<const float> base, uint64_t first,
                      std::string* encoded) {
    encoded->clear();
    absl::Status status = EncodeElements(header_.encoding, x, base, first, encoded);
    return status.ok() ? blob_->Append(*encoded) : status;
  }
  absl::StatusOr<std::string> Commit() {
    const absl::StatusOr<Digest> digest = blob_->Commit();
    if (!digest.ok()) return digest.status();
    return ToBytes(*digest);
  }

 private:
  VectorWriter(const VectorHeader& header, std::unique_ptr<BlobWriter> blob)
      : header_(header), blob_(std::move(blob)) {}
  VectorHeader header_;
  std::unique_ptr<BlobWriter> blob_;
};

// An outer state vector: read from the version before (zeros at first), replaced in the next.
struct StateVector {
  std::optional<VectorReader> before;
  std::optional<VectorWriter> after;
  std::vector<float> block;

  absl::Status Open(const BlobDirectory& blobs, const VectorHeader& header,
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
  absl::Status Read(uint64_t first, uint64_t count) {
    if (!after.has_value()) return absl::OkStatus();  // this run has no such state
    block.assign(count, 0.0f);
    return before.has_value() ? before->Read(first, {}, absl::MakeSpan(block)) : absl::OkStatus();
  }
  absl::Status Write(uint64_t first, std::string* encoded) {
    return after.has_value() ? after->Append(block, {}, first, encoded) : absl::OkStatus();
  }
};

class OuterStep {
 public:
  explicit OuterStep(const OuterStepOptions& options) : options_(options) {}

  absl::StatusOr<ConsensusVersion> Run(const ConsensusVersion& base, const RoundRecord& record) {
    if (absl::Status status = Open(base, record); !status.ok()) return status;
    for (uint64_t begin = 0; begin < header_.element_count; begin += kBlockElements) {
      const uint64_t count = std::min(kBlockElements, header_.element_count - begin);
      if (absl::Status status = ReadBlock(begin, count); !status.ok()) return status;
      Combine(count);
      if (absl::Status status = WriteBlock(begin, count); !status.ok()) return status;
    }
    return Commit(base);
  }

 private:
  absl::Status Open(const ConsensusVersion& base, const RoundRecord& record) {
    absl::StatusOr<VectorReader> z = OpenNamed(*options_.vectors, base.digest());
    if (!z.ok()) return z.status();
    header_ = z->header();
    z_reader_ = *std::move(z);
    for (const StoredContribution& contribution : record.contributions()) {
      absl::StatusOr<VectorReader> x = OpenNamed(*options_.contributions, contribution.digest());
      if (!x.ok()) return x.status();
      WEFT_CHECK(x->header().element_count == header_.element_count);
      const bool older =
          !contribution.base_digest().empty() && contribution.base_digest() != base.digest();
      older_bases_.emplace_back();
      if (older && !IsDelta(x->header().encoding)) {
        absl::StatusOr<VectorReader> old = OpenNamed(*options_.vectors, contribution.base_digest());
        if (!old.ok()) return old.status();
        older_bases_.back() = *std::move(old);
      }
      x_readers_.push_back(*std::move(x));
      weights_.push_back(contribution.weight());
    }
    absl::StatusOr<VectorWriter> next = VectorWriter::Create(*options_.vectors, header_);
    if (!next.ok()) return next.status();
    next_writer_ = *std::move(next);
    if (options_.update->has_momentum()) {
      absl::Status status = momentum_.Open(*options_.vectors, header_, base.momentum_digest());
      if (!status.ok()) return status;
    }
    if (!IsDelta(options_.down)) return absl::OkStatus();
    VectorHeader delta_header = header_;
    delta_header.encoding = options_.down;
    delta_header.base = *DigestFromBytes(base.digest());
    absl::StatusOr<VectorWriter> delta = VectorWriter::Create(*options_.vectors, delta_header);
    if (!delta.ok()) return delta.status();
    delta_writer_ = *std::move(delta);
    return residual_.Open(*options_.vectors, header_, base.residual_digest());
  }

  absl::Status ReadBlock(uint64_t begin, uint64_t count) {
    z_.resize(count);
    absl::Status status = z_reader_->Read(begin, {}, absl::MakeSpan(z_));
    x_.resize(x_readers_.size());
    for (size_t k = 0; k < x_.size() && status.ok(); ++k) {
      x_[k].resize(count);
      const bool is_delta = IsDelta(x_readers_[k].header().encoding);
      status = x_readers_[k].Read(
          begin, is_delta ? absl::Span<const float>(z_) : absl::Span<const float>(),
          absl::MakeSpan(x_[k]));
      if (status.ok() && older_bases_[k].has_value()) status = MoveToBase(begin, k);
    }
    if (status.ok()) status = momentum_.Read(begin, count);
    if (status.ok()) status = residual_.Read(begin, count);
    return status;
  }

  // What a late site has learnt since its older base, from the base of today. An encoded change
  // says that already.
  absl::Status MoveToBase(uint64_t begin, size_t k) {
    older_base_.resize(x_[k].size());
    absl::Status status = older_bases_[k]->Read(begin, {}, absl::MakeSpan(older_base_));
    if (!status.ok()) return status;
    for (size_t i = 0; i < x_[k].size(); ++i) {
      x_[k][i] = static_cast<float>(double{z_[i]} + (double{x_[k][i]} - double{older_base_[i]}));
    }
    return absl::OkStatus();
  }

  void Combine(uint64_t count) {
    combined_.resize(count);
    target_.resize(count);
    const std::vector<absl::Span<const float>> spans(x_.begin(), x_.end());
    options_.aggregator->Combine(spans, weights_, absl::MakeSpan(combined_));
    options_.update->Step(z_, combined_, absl::MakeSpan(momentum_.block), absl::MakeSpan(target_));
    for (size_t i = 0; i < residual_.block.size(); ++i) target_[i] += residual_.block[i];
  }

  absl::Status WriteBlock(uint64_t begin, uint64_t count) {
    next_.resize(count);
    for (uint64_t i = 0; i < count; ++i) next_[i] = static_cast<float>(target_[i]);
    if (delta_writer_.has_value()) {
      absl::Status status = delta_writer_->Append(next_, z_, begin, &encoded_);
      if (!status.ok()) return status;
      // From here on the decoded value is the consensus, as it is at the sites.
      status = DecodeElements(options_.down, encoded_, z_, begin, absl::MakeSpan(next_));
      if (!status.ok()) return status;
      for (uint64_t i = 0; i < count; ++i) {
        residual_.block[i] = static_cast<float>(target_[i] - next_[i]);
      }
    }
    absl::Status status = next_writer_->Append(next_, {}, begin, &encoded_);
    if (status.ok()) status = momentum_.Write(begin, &encoded_);
    if (status.ok()) status = residual_.Write(begin, &encoded_);
    return status;
  }

  absl::StatusOr<ConsensusVersion> Commit(const ConsensusVersion& base) {
    ConsensusVersion next;
    next.set_version(base.version() + 1);
    next.set_bytes(EncodedBytes(header_.encoding, header_.element_count));
    absl::Status status = CommitTo(&next_writer_, next.mutable_digest());
    if (status.ok()) status = CommitTo(&momentum_.after, next.mutable_momentum_digest());
    if (status.ok()) status = CommitTo(&residual_.after, next.mutable_residual_digest());
    if (status.ok() && delta_writer_.has_value()) {
      next.set_delta_bytes(EncodedBytes(options_.down, header_.element_count));
      next.set_delta_base_digest(base.digest());
      status = CommitTo(&delta_writer_, next.mutable_delta_digest());
    }
    if (!status.ok()) return status;
    return next;
  }
  static absl::Status CommitTo(std::optional<VectorWriter>* writer, std::string* digest) {
    if (!writer->has_value()) return absl::OkStatus();
    absl::StatusOr<std::string> committed = (*writer)->Commit();
    if (!committed.ok()) return committed.status();
    *digest = *std::move(committed);
    return absl::OkStatus();
  }

  const OuterStepOptions& options_;
  VectorHeader header_;
  std::vector<double> weights_;
  std::optional<VectorReader> z_reader_;
  std::vector<VectorReader> x_readers_;
  std::vector<std::optional<VectorReader>> older_bases_;  // of late contributions
  std::optional<VectorWriter> next_writer_, delta_writer_;
  StateVector momentum_, residual_;
  // The block under way.
  std::vector<float> z_, next_, older_base_;
  std::vector<std::vector<float>> x_;
  std::vector<double> combined_, target_;
  std::string encoded_;
};

}  // namespace

absl::StatusOr<ConsensusVersion> ComputeOuterStep(const OuterStepOptions& options,
                                                  const ConsensusVersion& base,
                                                  const RoundRecord& record) {
  WEFT_CHECK(record.contributions_size() > 0);
  return OuterStep(options).Run(base, record);
}

}  // namespace weft
