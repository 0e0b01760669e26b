#include "model/parameters/fragments.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/parameters/fragment_range.h"
#include "proto/check.h"

namespace weft {
namespace {

constexpr uint64_t kBlockElements = uint64_t{1} << 18;

absl::StatusOr<std::vector<VectorReader>> OpenFragments(const BlobDirectory& from,
                                                        absl::Span<const Digest> fragments) {
  std::vector<VectorReader> readers;
  for (const Digest& digest : fragments) {
    if (absl::Status status = from.Verify(digest); !status.ok()) return status;
    absl::StatusOr<VectorReader> reader = VectorReader::Open(from.PathOf(digest));
    if (!reader.ok()) return reader.status();
    readers.push_back(*std::move(reader));
  }
  uint64_t elements = 0;
  for (const VectorReader& reader : readers) elements += reader.header().element_count;
  for (size_t f = 0; f < readers.size(); ++f) {
    const VectorHeader expected =
        FragmentHeader(readers[0].header().layout, elements, static_cast<uint32_t>(readers.size()),
                       static_cast<uint32_t>(f));
    if (PrintVectorHeader(readers[f].header()) == PrintVectorHeader(expected)) continue;
    return absl::DataLossError(absl::StrCat(ToHex(fragments[f]), ": not fragment ", f, " of ",
                                            readers.size(), " of a vector of ", elements,
                                            " elements"));
  }
  return readers;
}

}  // namespace

VectorHeader FragmentHeader(const Digest& layout, uint64_t element_count, uint32_t count,
                            uint32_t fragment) {
  VectorHeader header;
  header.element_count = RangeOfFragment(element_count, count, fragment).size;
  header.fragment = fragment;
  header.fragment_count = count;
  header.layout = layout;
  return header;
}

absl::StatusOr<std::vector<Digest>> WriteFragments(const BlobDirectory& blobs, const Digest& layout,
                                                   absl::Span<const float> vector, uint32_t count) {
  WEFT_CHECK(count >= 1 && count <= FragmentsMax(vector.size()));
  std::vector<Digest> digests;
  for (uint32_t f = 0; f < count; ++f) {
    const FragmentRange range = RangeOfFragment(vector.size(), count, f);
    const absl::StatusOr<Digest> digest =
        WriteVector(blobs, FragmentHeader(layout, vector.size(), count, f),
                    vector.subspan(range.begin, range.size), {});
    if (!digest.ok()) return digest.status();
    digests.push_back(*digest);
  }
  return digests;
}

absl::StatusOr<Digest> AssembleFragments(const BlobDirectory& from,
                                         absl::Span<const Digest> fragments,
                                         const BlobDirectory& to) {
  absl::StatusOr<std::vector<VectorReader>> readers = OpenFragments(from, fragments);
  if (!readers.ok()) return readers.status();
  VectorHeader header;
  header.layout = (*readers)[0].header().layout;
  for (const VectorReader& reader : *readers) header.element_count += reader.header().element_count;
  absl::StatusOr<std::unique_ptr<BlobWriter>> writer = to.NewBlob();
  if (!writer.ok()) return writer.status();
  absl::Status status = (*writer)->Append(PrintVectorHeader(header));
  std::vector<float> block;
  std::string bytes;
  for (VectorReader& reader : *readers) {
    const uint64_t size = reader.header().element_count;
    for (uint64_t begin = 0; status.ok() && begin < size; begin += kBlockElements) {
      block.resize(std::min(kBlockElements, size - begin));
      bytes.clear();
      status = reader.Read(begin, {}, absl::MakeSpan(block));
      if (status.ok()) {
        status = EncodeElements(Encoding::kParametersFp32, block, {}, begin, &bytes);
      }
      if (status.ok()) status = (*writer)->Append(bytes);
    }
  }
  if (!status.ok()) return status;
  return (*writer)->Commit();
}

}  // namespace weft
