// What may leave a site: the list, and the checks that a message must pass. Pure; the part of the
// gate that a security officer reads first. EgressGate asks it before every send.
//
//   EgressPolicy policy("demo", "north", layout);
//   absl::StatusOr<EgressLabel> label = policy.Check(message);
//   if (!label.ok()) ...   // PermissionDenied: this must not leave
//
// Remembers the contribution announced last, because chunks are checked against it. Belongs to one
// thread.
#ifndef WEFT_WORKER_GATE_EGRESS_POLICY_H_
#define WEFT_WORKER_GATE_EGRESS_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "proto/coordinator.pb.h"
#include "proto/digest.h"

namespace weft {

inline constexpr uint64_t kMessageBytesMax = uint64_t{4} << 20;
inline constexpr size_t kEgressTextMax = 200;

// How the ledger calls it.
struct EgressLabel {
  std::string type;
  uint64_t round = 0;
  std::string note;
};

class EgressPolicy {
 public:
  EgressPolicy(std::string run_id, std::string site, const Digest& layout)
      : run_id_(std::move(run_id)), site_(std::move(site)), layout_(layout) {}

  absl::StatusOr<EgressLabel> Check(const google::protobuf::Message& message);

 private:
  absl::Status CheckAnnouncement(const std::string& signed_contribution,
                                 const std::string& chunk_sha256s);
  absl::Status CheckChunk(const BlobChunk& chunk) const;
  absl::StatusOr<EgressLabel> CheckPush(const PushMessage& message);

  std::string run_id_;
  std::string site_;
  Digest layout_;
  // The announced contribution.
  Contribution announced_;
  std::vector<Digest> chunk_digests_;
};

}  // namespace weft

#endif  // WEFT_WORKER_GATE_EGRESS_POLICY_H_
