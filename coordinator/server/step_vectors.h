// The vectors of an outer step as files that pass block by block: inputs that are hashed before
// they are used, outputs that are named when they are whole, outer state that is both. Belongs to
// one thread.
#ifndef WEFT_COORDINATOR_SERVER_STEP_VECTORS_H_
#define WEFT_COORDINATOR_SERVER_STEP_VECTORS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "coordinator/core/round_state.pb.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_directory.h"

namespace weft {

// A disk can change a blob after it was checked on arrival, and a wrong consensus must never come
// of it: everything that goes in is hashed once more before it is used.
absl::StatusOr<VectorReader> OpenNamed(const BlobDirectory& blobs, const std::string& digest_bytes);

// A vector that is written block by block and then named by its digest.
class VectorWriter {
 public:
  static absl::StatusOr<VectorWriter> Create(const BlobDirectory& blobs,
                                             const VectorHeader& header);
  absl::Status Append(absl::Span<const float> x, absl::Span<const float> base, uint64_t first,
                      std::string* encoded);
  absl::StatusOr<std::string> Commit();

 private:
  VectorWriter(const VectorHeader& header, std::unique_ptr<BlobWriter> blob)
      : header_(header), blob_(std::move(blob)) {}
  VectorHeader header_;
  std::unique_ptr<BlobWriter> blob_;
};
// Names what `writer` wrote, in `digest`; without a writer nothing is done.
absl::Status CommitTo(std::optional<VectorWriter>* writer, std::string* digest);

// An outer state vector: read from the version before (all `initial` at first), replaced in the
// next.
struct StateVector {
  std::optional<VectorReader> before;
  std::optional<VectorWriter> after;
  float initial = 0;
  std::vector<float> block;

  absl::Status Open(const BlobDirectory& blobs, const VectorHeader& header,
                    const std::string& digest);
  // These do nothing where Open was not called: the run has no such state.
  absl::Status Read(uint64_t first, uint64_t count);
  absl::Status Write(uint64_t first, std::string* encoded);
};

// The included contributions, decoded a block at a time against the base of today, `z`. With
// `absolute` an older contribution is the vector that it was at its site; otherwise it counts as
// its change since its own base.
class ContributionBlocks {
 public:
  // `vectors` has the older bases.
  absl::Status Open(const BlobDirectory& contributions, const BlobDirectory& vectors,
                    const RoundRecord& record, const std::string& base_digest, bool absolute);
  // Elements from `begin` on, as many as z has.
  absl::Status Read(uint64_t begin, absl::Span<const float> z);
  // Of what was read last, in the record's order.
  std::vector<absl::Span<const float>> blocks() const;
  bool AllHave(uint64_t element_count) const;

 private:
  struct Input {
    VectorReader x;
    std::optional<VectorReader> older_base;  // where it is needed
    std::vector<float> block;
  };
  absl::Status ReadOne(uint64_t begin, absl::Span<const float> z, Input* input);
  bool absolute_ = false;
  std::vector<Input> inputs_;
  std::vector<float> older_base_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_STEP_VECTORS_H_
