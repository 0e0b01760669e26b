#include "tests/simulation/vectors.h"

#include "proto/blob_digest.h"
#include "tests/simulation/random.h"

namespace weft::simulation {
namespace {

uint64_t Hash(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return Mix(hash);
}

}  // namespace

const Digest& Layout() {
  static const Digest layout = Sha256("the layout of simulated vectors");
  return layout;
}

absl::StatusOr<std::string> EncodeBlob(VectorFormat format, absl::Span<const float> x,
                                       absl::Span<const float> base, const std::string& base_digest,
                                       Part part) {
  VectorHeader header{.encoding = format,
                      .element_count = x.size(),
                      .fragment = part.fragment,
                      .fragment_count = part.count,
                      .layout = Layout()};
  if (IsDelta(format)) header.base = *DigestFromBytes(base_digest);
  std::string blob = PrintVectorHeader(header);
  absl::Status status =
      EncodeElements(format, x, IsDelta(format) ? base : absl::Span<const float>(), 0, &blob);
  if (!status.ok()) return status;
  return blob;
}

absl::StatusOr<Vector> DecodeBlob(VectorFormat format, absl::string_view blob, uint64_t elements,
                                  absl::Span<const float> base, const std::string& base_digest,
                                  Part part) {
  if (blob.size() != EncodedBytes(format, elements)) {
    return absl::DataLossError("the blob is of another length");
  }
  const absl::StatusOr<VectorHeader> header = ParseVectorHeader(blob.substr(0, kVectorHeaderBytes));
  if (!header.ok()) return header.status();
  const Digest wanted = IsDelta(format) ? *DigestFromBytes(base_digest) : Digest{};
  if (header->encoding != format || header->element_count != elements ||
      header->layout != Layout() || header->base != wanted || header->fragment != part.fragment ||
      header->fragment_count != part.count) {
    return absl::DataLossError("the blob's header says something else");
  }
  Vector x(elements);
  absl::Status status =
      DecodeElements(format, blob.substr(kVectorHeaderBytes),
                     IsDelta(format) ? base : absl::Span<const float>(), 0, absl::MakeSpan(x));
  if (!status.ok()) return status;
  return x;
}

std::string PlainBlob(absl::Span<const float> x, Part part) {
  return *EncodeBlob(Encoding::kParametersFp32, x, {}, "", part);
}

absl::StatusOr<Vector> ReadPlainBlob(absl::string_view blob, Part part) {
  if (blob.size() < kVectorHeaderBytes) return absl::DataLossError("the blob has no header");
  const uint64_t elements = (blob.size() - kVectorHeaderBytes) / sizeof(float);
  return DecodeBlob(Encoding::kParametersFp32, blob, elements, {}, "", part);
}

std::string DigestOf(absl::string_view blob) { return ToBytes(BlobDigest(blob)); }

Vector InitialVector(uint64_t seed, uint64_t elements) {
  Random random(Mix(seed ^ 0x1517));
  Vector x(elements);
  for (float& value : x) value = static_cast<float>(2 * random.Unit() - 1);
  return x;
}

bool LossRises(uint64_t seed, absl::string_view site, uint64_t base_version) {
  return Random(Mix(~seed ^ Hash(site) ^ Mix(base_version))).Chance(0.04);
}

Vector Train(uint64_t seed, absl::string_view site, uint64_t base_version,
             absl::Span<const float> base) {
  Random random(Mix(seed ^ Hash(site) ^ Mix(base_version)));
  Vector x(base.begin(), base.end());
  for (float& value : x) value += static_cast<float>(0.2 * random.Unit() - 0.1);
  return x;
}

}  // namespace weft::simulation
