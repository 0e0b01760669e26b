#include "worker/gate/site_vectors.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kernels/vector_ops.h"

namespace weft {
namespace {

// A multiple of every encoding's block.
constexpr uint64_t kBlockElements = uint64_t{1} << 18;

// Opens a vector whose header must be that of a parameters_fp32 vector of this shape.
absl::StatusOr<VectorReader> OpenVector(const BlobDirectory& folder, const Digest& digest,
                                        const Digest& layout) {
  if (absl::Status status = folder.Verify(digest); !status.ok()) return status;
  absl::StatusOr<VectorReader> reader = VectorReader::Open(folder.PathOf(digest));
  if (!reader.ok()) return reader;
  if (reader->header().layout != layout ||
      reader->header().encoding != Encoding::kParametersFp32) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToHex(digest), ": not a parameters_fp32 vector of the accepted layout"));
  }
  return reader;
}

// Several vectors of one shape, read together.
class VectorSet {
 public:
  explicit VectorSet(const Digest& layout) : layout_(layout) {}

  // The first is the base: the others must have its shape. Returns the vector's place.
  absl::StatusOr<size_t> Add(const BlobDirectory& folder, const Digest& digest) {
    absl::StatusOr<VectorReader> reader = OpenVector(folder, digest, layout_);
    if (!reader.ok()) return reader.status();
    if (!readers_.empty() &&
        PrintVectorHeader(reader->header()) != PrintVectorHeader(header())) {
      const VectorHeader& got = reader->header();
      return absl::InvalidArgumentError(absl::StrCat(
          "vector ", ToHex(digest), " has ", got.element_count, " elements, fragment ",
          got.fragment, " of ", got.fragment_count, "; its base has ", header().element_count,
          ", fragment ", header().fragment, " of ", header().fragment_count));
    }
    readers_.push_back(*std::move(reader));
    blocks_.emplace_back();
    return readers_.size() - 1;
  }
  const VectorHeader& header() const { return readers_[0].header(); }

  // The same `count` elements of each.
  absl::Status Read(uint64_t begin, uint64_t count) {
    for (size_t i = 0; i < readers_.size(); ++i) {
      blocks_[i].resize(count);
      absl::Status status = readers_[i].Read(begin, {}, absl::MakeSpan(blocks_[i]));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  absl::Span<const float> block(size_t place) const { return blocks_[place]; }

 private:
  Digest layout_;
  std::vector<VectorReader> readers_;
  std::vector<std::vector<float>> blocks_;
};

// A vector on its way to disk, encoded a block at a time.
class VectorWriter {
 public:
  static absl::StatusOr<VectorWriter> Create(const BlobDirectory& folder,
                                             const VectorHeader& header) {
    absl::StatusOr<std::unique_ptr<BlobWriter>> blob = folder.NewBlob();
    if (!blob.ok()) return blob.status();
    if (absl::Status status = (*blob)->Append(PrintVectorHeader(header)); !status.ok())
      return status;
    return VectorWriter(*std::move(blob), header.encoding);
  }
  // `base`: the same elements of it, where the encoding is of a change.
  absl::Status Append(absl::Span<const float> x, absl::Span<const float> base, uint64_t begin) {
    bytes_.clear();
    absl::Status status = EncodeElements(encoding_, x, base, begin, &bytes_);
    return status.ok() ? blob_->Append(bytes_) : status;
  }
  // The block that was appended last.
  absl::string_view bytes() const { return bytes_; }
  absl::StatusOr<Digest> Commit() { return blob_->Commit(); }

 private:
  VectorWriter(std::unique_ptr<BlobWriter> blob, VectorFormat encoding)
      : blob_(std::move(blob)), encoding_(encoding) {}
  std::unique_ptr<BlobWriter> blob_;
  VectorFormat encoding_;
  std::string bytes_;
};

using BlockFunction = std::function<void(const VectorSet& in, absl::Span<float> out)>;

// One vector made of several, element by element.
absl::StatusOr<Digest> Combine(VectorSet* in, const BlobDirectory& to,
                               const BlockFunction& function) {
  absl::StatusOr<VectorWriter> writer = VectorWriter::Create(to, in->header());
  if (!writer.ok()) return writer.status();
  std::vector<float> out;
  for (uint64_t begin = 0; begin < in->header().element_count; begin += kBlockElements) {
    out.resize(std::min(kBlockElements, in->header().element_count - begin));
    if (absl::Status status = in->Read(begin, out.size()); !status.ok()) return status;
    function(*in, absl::MakeSpan(out));
    if (absl::Status status = writer->Append(out, {}, begin); !status.ok()) return status;
  }
  return writer->Commit();
}

// Encodes a contribution block by block, with what the site holds next beside it.
class ContributionEncoder {
 public:
  ContributionEncoder(const SiteVectors& vectors, const ContributionParts& parts)
      : vectors_(vectors), parts_(parts), in_(vectors.layout) {}

  absl::StatusOr<EncodedContribution> Run() {
    if (absl::Status status = OpenAll(); !status.ok()) return status;
    const uint64_t elements = in_.header().element_count;
    for (uint64_t begin = 0; begin < elements; begin += kBlockElements) {
      absl::Status status = EncodeBlock(begin, std::min(kBlockElements, elements - begin));
      if (!status.ok()) return status;
    }
    return Commit();
  }

 private:
  absl::Status Open(const BlobDirectory& folder, const Digest& digest,
                    std::optional<size_t>* place) {
    absl::StatusOr<size_t> added = in_.Add(folder, digest);
    if (added.ok()) *place = *added;
    return added.status();
  }
  absl::Status Make(const VectorHeader& header, std::optional<VectorWriter>* writer) {
    absl::StatusOr<VectorWriter> made = VectorWriter::Create(*vectors_.own, header);
    if (made.ok()) writer->emplace(*std::move(made));
    return made.status();
  }
  absl::Status OpenAll() {
    absl::Status status = Open(*vectors_.site, parts_.base, &z_);
    if (status.ok()) status = Open(*vectors_.site, parts_.vector, &x_);
    if (status.ok() && parts_.residual) status = Open(*vectors_.own, *parts_.residual, &e_);
    if (status.ok() && parts_.with_dual) status = Open(*vectors_.own, parts_.sent, &sent_);
    if (status.ok() && parts_.with_dual && parts_.dual)
      status = Open(*vectors_.own, *parts_.dual, &u_);
    if (!status.ok()) return status;
    VectorHeader header = in_.header();
    if (parts_.residual_kept != 0) status = Make(header, &residual_out_);
    if (status.ok() && parts_.with_dual) status = Make(header, &sent_out_);
    header.encoding = parts_.encoding;
    if (IsDelta(header.encoding)) header.base = parts_.base;
    return status.ok() ? Make(header, &out_) : status;
  }

  // What the block stands for: x + e, or z + (x + u) - sent, rounded to fp32 once.
  void Form() {
    const absl::Span<const float> x = in_.block(*x_), z = in_.block(*z_);
    virtual_.assign(x.begin(), x.end());
    if (e_) {
      for (size_t i = 0; i < x.size(); ++i) virtual_[i] = x[i] + in_.block(*e_)[i];
    }
    if (!sent_) return;
    for (size_t i = 0; i < x.size(); ++i) {
      const double u = u_ ? in_.block(*u_)[i] : 0;
      const double change = double{x[i]} + u - double{in_.block(*sent_)[i]};
      virtual_[i] = static_cast<float>(double{z[i]} + change);
    }
    squared_distance_ += kernels::SquaredDistance(x.data(), z.data(), x.size());
  }

  absl::Status EncodeBlock(uint64_t begin, uint64_t count) {
    if (absl::Status status = in_.Read(begin, count); !status.ok()) return status;
    Form();
    const absl::Span<const float> z = in_.block(*z_);
    const absl::Span<const float> base = IsDelta(parts_.encoding) ? z : absl::Span<const float>();
    if (absl::Status status = out_->Append(virtual_, base, begin); !status.ok()) return status;
    if (!residual_out_ && !sent_out_) return absl::OkStatus();
    decoded_.resize(count);
    absl::Status status = DecodeElements(parts_.encoding, out_->bytes(), base, begin,
                                         absl::MakeSpan(decoded_));
    if (status.ok() && sent_out_) {
      const absl::Span<const float> sent = in_.block(*sent_);
      next_.resize(count);
      for (size_t i = 0; i < count; ++i) {
        next_[i] = static_cast<float>(double{sent[i]} + (double{decoded_[i]} - double{z[i]}));
      }
      status = sent_out_->Append(next_, {}, begin);
    }
    if (status.ok() && residual_out_) {
      next_.resize(count);
      for (size_t i = 0; i < count; ++i) {
        const double lost = double{virtual_[i]} - double{decoded_[i]};
        next_[i] = static_cast<float>(parts_.residual_kept * lost);
      }
      status = residual_out_->Append(next_, {}, begin);
    }
    return status;
  }

  // The contribution last: whoever finds it finds what belongs to it.
  absl::StatusOr<EncodedContribution> Commit() {
    EncodedContribution encoded;
    encoded.primal_residual = std::sqrt(squared_distance_);
    for (auto [writer, digest] : {std::pair{&residual_out_, &encoded.residual},
                                  std::pair{&sent_out_, &encoded.sent}}) {
      if (!writer->has_value()) continue;
      absl::StatusOr<Digest> committed = (*writer)->Commit();
      if (!committed.ok()) return committed.status();
      *digest = *committed;
    }
    absl::StatusOr<Digest> blob = out_->Commit();
    if (!blob.ok()) return blob.status();
    encoded.blob = *blob;
    return encoded;
  }

  const SiteVectors& vectors_;
  const ContributionParts& parts_;
  VectorSet in_;
  std::optional<size_t> x_, z_, e_, u_, sent_;
  std::optional<VectorWriter> out_, residual_out_, sent_out_;
  std::vector<float> virtual_, decoded_, next_;
  double squared_distance_ = 0;
};

}  // namespace

double ResidualKept(const ConsensusScheme& scheme, VectorFormat encoding) {
  if (!IsDelta(encoding) || scheme.dual() || scheme.mix_with() == "previous" ||
      scheme.asynchrony() == "elastic") {
    return 0;
  }
  return scheme.alpha();
}

absl::StatusOr<EncodedContribution> EncodeContribution(const SiteVectors& vectors,
                                                       const ContributionParts& parts) {
  return ContributionEncoder(vectors, parts).Run();
}

absl::StatusOr<Digest> WriteAnchor(const SiteVectors& vectors, const Digest& base,
                                   const Digest& dual) {
  VectorSet in(vectors.layout);
  absl::StatusOr<size_t> z = in.Add(*vectors.site, base);
  if (!z.ok()) return z.status();
  absl::StatusOr<size_t> u = in.Add(*vectors.own, dual);
  if (!u.ok()) return u.status();
  return Combine(&in, *vectors.site, [&](const VectorSet& set, absl::Span<float> out) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = set.block(*z)[i] - set.block(*u)[i];
  });
}

absl::StatusOr<Digest> StepDual(const SiteVectors& vectors, const DualStep& step) {
  VectorSet in(vectors.layout);
  absl::StatusOr<size_t> z = in.Add(*vectors.site, step.base), u = size_t{0}, x = size_t{0};
  if (step.dual) u = in.Add(*vectors.own, *step.dual);
  if (step.vector) x = in.Add(*vectors.site, *step.vector);
  for (const auto& place : {z, u, x}) {
    if (!place.ok()) return place.status();
  }
  return Combine(&in, *vectors.own, [&](const VectorSet& set, absl::Span<float> out) {
    for (size_t i = 0; i < out.size(); ++i) {
      double next = step.dual ? set.block(*u)[i] : 0;
      if (step.vector) next += double{set.block(*x)[i]} - double{set.block(*z)[i]};
      out[i] = static_cast<float>(next * step.scale);
    }
  });
}

absl::Status KeepVector(const SiteVectors& vectors, const Digest& digest) {
  VectorSet in(vectors.layout);
  absl::StatusOr<size_t> place = in.Add(*vectors.site, digest);
  if (!place.ok()) return place.status();
  absl::StatusOr<Digest> kept =
      Combine(&in, *vectors.own, [](const VectorSet& set, absl::Span<float> out) {
        std::copy(set.block(0).begin(), set.block(0).end(), out.begin());
      });
  return kept.status();
}

}  // namespace weft
