#include "worker/gate/egress_policy.h"

#include "absl/strings/str_cat.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_digest.h"
#include "proto/signed_statement.h"

namespace weft {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The closed list. A message that is not here does not leave, whatever it holds.
constexpr const char* kMayLeave[] = {
    "weft.JoinRequest",    // names, the manifest's digest, this program's version
    "weft.WatchRequest",   // names
    "weft.PullRequest",    // names, a digest, chunk numbers
    "weft.ResumeRequest",  // a signed contribution's statement (counts, losses on held-out text,
                           // the distance from the consensus) and its chunks' digests
    "weft.PushMessage",    // the same, and chunks of an encoded parameter vector
    "weft.ReportRequest",  // the scalars of RoundReport
    "weft.LeaveRequest",   // names and a short reason
};

absl::Status Denied(absl::string_view what) {
  return absl::PermissionDeniedError(absl::StrCat("egress policy: ", what, ": it does not leave"));
}

bool IsOnTheList(absl::string_view name) {
  for (const char* allowed : kMayLeave) {
    if (name == allowed) return true;
  }
  return false;
}

// No unknown fields and no long texts, at any depth.
absl::Status CheckFields(const Message& message) {
  const auto* reflection = message.GetReflection();
  const std::string& name = message.GetDescriptor()->full_name();
  if (!reflection->GetUnknownFields(message).empty())
    return Denied(absl::StrCat(name, " has unknown fields"));
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      for (int i = 0; i < count; ++i) {
        const Message& part = field->is_repeated()
                                  ? reflection->GetRepeatedMessage(message, field, i)
                                  : reflection->GetMessage(message, field);
        if (absl::Status status = CheckFields(part); !status.ok()) return status;
      }
    } else if (field->type() == FieldDescriptor::TYPE_STRING && !field->is_repeated() &&
               reflection->GetString(message, field).size() > kEgressTextMax) {
      return Denied(absl::StrCat(field->full_name(), " is longer than ", kEgressTextMax, " bytes"));
    }
  }
  return absl::OkStatus();
}

// The context is the same field of every message, but for two that carry it inside.
const MessageContext* ContextOf(const Message& message) {
  if (const auto* m = dynamic_cast<const JoinRequest*>(&message)) return &m->context();
  if (const auto* m = dynamic_cast<const WatchRequest*>(&message)) return &m->context();
  if (const auto* m = dynamic_cast<const PullRequest*>(&message)) return &m->context();
  if (const auto* m = dynamic_cast<const ResumeRequest*>(&message)) return &m->context();
  if (const auto* m = dynamic_cast<const LeaveRequest*>(&message)) return &m->context();
  if (const auto* m = dynamic_cast<const ReportRequest*>(&message)) return &m->report().context();
  if (const auto* m = dynamic_cast<const PushMessage*>(&message); m && m->has_head())
    return &m->head().context();
  return nullptr;
}

}  // namespace

absl::StatusOr<EgressLabel> EgressPolicy::Check(const Message& message) {
  const std::string& name = message.GetDescriptor()->full_name();
  if (!IsOnTheList(name))
    return Denied(absl::StrCat(name, " is not on the list of what may leave"));
  if (message.ByteSizeLong() > kMessageBytesMax)
    return Denied(absl::StrCat(name, " is above 4 MiB"));
  if (absl::Status status = CheckFields(message); !status.ok()) return status;
  const MessageContext* context = ContextOf(message);
  if (context != nullptr && context->run_id() != run_id_) {
    return Denied(
        absl::StrCat(name, " names run '", context->run_id(), "', accepted is '", run_id_, "'"));
  }
  EgressLabel label;
  if (dynamic_cast<const JoinRequest*>(&message)) label.type = "join";
  if (dynamic_cast<const WatchRequest*>(&message)) label.type = "watch";
  if (dynamic_cast<const LeaveRequest*>(&message)) label.type = "leave";
  if (const auto* pull = dynamic_cast<const PullRequest*>(&message)) {
    label.type = "pull";
    if (pull->blob_digest().size() != 32) return Denied("a pull's digest is not 32 bytes");
  }
  if (const auto* report = dynamic_cast<const ReportRequest*>(&message)) {
    label.type = "report";
    label.round = report->report().round();
  }
  if (const auto* resume = dynamic_cast<const ResumeRequest*>(&message)) {
    absl::Status status = CheckAnnouncement(resume->signed_contribution(), resume->chunk_sha256s());
    if (!status.ok()) return status;
    label = {"resume", announced_.round(), ""};
  }
  if (const auto* push = dynamic_cast<const PushMessage*>(&message)) return CheckPush(*push);
  return label;
}

absl::StatusOr<EgressLabel> EgressPolicy::CheckPush(const PushMessage& message) {
  if (message.has_head() == message.has_chunk())
    return Denied("a push message is either a head or a chunk");
  if (message.has_head()) {
    absl::Status status =
        CheckAnnouncement(message.head().signed_contribution(), message.head().chunk_sha256s());
    if (!status.ok()) return status;
    return EgressLabel{"push-head", announced_.round(), ""};
  }
  if (absl::Status status = CheckChunk(message.chunk()); !status.ok()) return status;
  return EgressLabel{
      "push-chunk", announced_.round(),
      absl::StrCat("chunk ", message.chunk().number(), " of ", chunk_digests_.size())};
}

absl::Status EgressPolicy::CheckAnnouncement(const std::string& signed_contribution,
                                             const std::string& chunk_sha256s) {
  chunk_digests_.clear();
  absl::StatusOr<SignedStatement> statement =
      ParseSignedStatement(signed_contribution, "contribution");
  if (!statement.ok())
    return Denied(absl::StrCat("not a signed contribution: ", statement.status().message()));
  Contribution contribution;
  if (statement->payload_type != kContributionType ||
      !contribution.ParseFromString(statement->payload)) {
    return Denied("the signed statement is not a contribution");
  }
  if (absl::Status status = CheckFields(contribution); !status.ok()) return status;
  if (contribution.context().run_id() != run_id_ || contribution.site() != site_ ||
      contribution.layout_digest() != ToBytes(layout_)) {
    return Denied("the contribution is of another run, site or layout");
  }
  if (chunk_sha256s.size() % 32 != 0 ||
      chunk_sha256s.size() / 32 != ChunkCount(contribution.blob_bytes())) {
    return Denied("the announced chunks do not cover the contribution");
  }
  std::vector<Digest> digests;
  for (size_t at = 0; at < chunk_sha256s.size(); at += 32) {
    digests.push_back(*DigestFromBytes(absl::string_view(chunk_sha256s).substr(at, 32)));
  }
  if (ToBytes(BlobDigest(contribution.blob_bytes(), digests)) != contribution.blob_digest()) {
    return Denied("the announced chunks are not those of the signed contribution");
  }
  announced_ = std::move(contribution);
  chunk_digests_ = std::move(digests);
  return absl::OkStatus();
}

absl::Status EgressPolicy::CheckChunk(const BlobChunk& chunk) const {
  if (chunk.has_refusal()) return Denied("a site's chunk carries no refusal");
  if (chunk.number() >= chunk_digests_.size()) {
    return Denied(
        absl::StrCat("chunk ", chunk.number(), " was not announced by a signed contribution"));
  }
  const Digest digest = Sha256(chunk.data());
  if (digest != chunk_digests_[chunk.number()] || chunk.sha256() != ToBytes(digest)) {
    return Denied(absl::StrCat("chunk ", chunk.number(), " is not the one that was announced"));
  }
  if (chunk.number() > 0) return absl::OkStatus();
  absl::StatusOr<VectorHeader> header =
      ParseVectorHeader(absl::string_view(chunk.data()).substr(0, kVectorHeaderBytes));
  if (!header.ok())
    return Denied(absl::StrCat("not an encoded parameter vector: ", header.status().message()));
  if (header->layout != layout_ || header->fragment != announced_.context().fragment() ||
      EncodedBytes(header->encoding, header->element_count) != announced_.blob_bytes()) {
    return Denied(
        "the vector's header does not fit the accepted layout or the announced fragment or length");
  }
  return absl::OkStatus();
}

}  // namespace weft
