// Pull and Push: one chunk of disk work at a time on the reactor's thread.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/round_view.h"
#include "coordinator/server/stream_reactors.h"
#include "proto/blob_digest.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

grpc::Status Trouble(const absl::Status& status) {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, std::string(status.message()));
}
const grpc::Status kTooManyStreams(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many open streams");

// Cuts off a peer that stops moving.
class TransferStream : public OpenStream {
 public:
  explicit TransferStream(grpc::CallbackServerContext* call) : call_(call) { Moved(); }
  void OnTick(absl::Time now) override {
    if (!waits_for_us_ && now - absl::FromUnixMillis(moved_ms_) > kStreamIdleMax) {
      call_->TryCancel();
    }
  }

 protected:
  void Moved() { moved_ms_ = absl::ToUnixMillis(absl::Now()); }
  // From here on it is our own work that the peer waits for.
  void WaitsForUs() { waits_for_us_ = true; }
  grpc::CallbackServerContext* const call_;

 private:
  std::atomic<int64_t> moved_ms_{0};
  std::atomic<bool> waits_for_us_{false};
};

class PullReactor final : public grpc::ServerWriteReactor<BlobChunk>, public TransferStream {
 public:
  PullReactor(const CoordinatorService& service, grpc::CallbackServerContext* call)
      : TransferStream(call), service_(service) {}
  ~PullReactor() override {
    if (fd_ >= 0) close(fd_);
  }

  void Start(const PullRequest& request) {
    // A member that only asked (JoinRequest.only_asking) has no session, and may read all the same.
    const SessionRule rule =
        request.context().session_id().empty() ? SessionRule::kNone : SessionRule::kNeeded;
    Caller caller = service_.Identify(*call_, request.context(), rule);
    if (!service_.streams().Add(this, caller.site)) return Finish(kTooManyStreams);
    if (!IsRefused(caller.refusal)) caller.refusal = OpenBlob(request);
    if (!IsRefused(caller.refusal)) return WriteNext();
    service_.RecordRefusal(caller.site, caller.refusal);
    *chunk_.mutable_refusal() = caller.refusal;
    StartWriteAndFinish(&chunk_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void OnWriteDone(bool ok) override {
    Moved();
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the site is gone"));
    WriteNext();
  }
  void OnDone() override {
    service_.streams().Remove(this);
    delete this;
  }

 private:
  // The file stays readable while it is open, also when the next version takes its place.
  Refusal OpenBlob(const PullRequest& request) {
    const std::shared_ptr<const RoundState> state = service_.driver().state();
    const std::string& digest = request.blob_digest();
    const std::optional<uint64_t> bytes = ServedBytes(*state, digest);
    if (!bytes.has_value()) {
      return MakeRefusal(Refusal::UNKNOWN_BLOB,
                         absl::StrCat("blob ", ShortHex(digest),
                                      "... is neither the consensus nor its change, nor a base of "
                                      "this round: version ",
                                      state->consensus().version(), " is current"));
    }
    bytes_ = *bytes;
    const uint64_t count = ChunkCount(bytes_);
    for (const uint32_t number : request.chunks()) {
      if (number < count) continue;
      return MakeRefusal(Refusal::MALFORMED,
                         absl::StrCat("chunk ", number, ": the blob has ", count));
    }
    if (static_cast<uint64_t>(request.chunks_size()) > count) {
      return MakeRefusal(Refusal::MALFORMED, "more chunks are asked for than there are");
    }
    wanted_.assign(request.chunks().begin(), request.chunks().end());
    for (uint32_t i = 0; wanted_.size() < count && request.chunks().empty(); ++i)
      wanted_.push_back(i);
    path_ = service_.driver().vectors().PathOf(*DigestFromBytes(digest));
    fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ >= 0) return {};
    return MakeRefusal(Refusal::UNKNOWN_BLOB, "a newer version has just taken its place");
  }

  void WriteNext() {
    if (next_ == wanted_.size()) return Finish(grpc::Status::OK);
    const uint32_t number = wanted_[next_++];
    std::string* data = chunk_.mutable_data();
    data->resize(ChunkLength(bytes_, number));
    size_t done = 0;
    while (done < data->size()) {
      const ssize_t got = pread(fd_, data->data() + done, data->size() - done,
                                static_cast<off_t>(number * kChunkBytes + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return Finish(Trouble(ErrnoStatus("cannot read", path_)));
      done += static_cast<size_t>(got);
    }
    chunk_.set_number(number);
    chunk_.set_sha256(ToBytes(Sha256(*data)));
    StartWrite(&chunk_);
  }

  const CoordinatorService& service_;
  std::string path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
  std::vector<uint32_t> wanted_;
  size_t next_ = 0;
  BlobChunk chunk_;
};

class PushReactor final : public grpc::ServerReadReactor<PushMessage>, public TransferStream {
 public:
  PushReactor(const CoordinatorService& service, grpc::CallbackServerContext* call,
              PushReply* reply)
      : TransferStream(call), service_(service), reply_(reply) {}

  void Start() {
    site_ = CallerName(*call_);
    if (!service_.streams().Add(this, site_)) return Finish(kTooManyStreams);
    StartRead(&message_);
  }
  void OnReadDone(bool ok) override {
    Moved();
    if (!ok) return EndOfStream();
    if (!opening_.has_value()) return TakeHead();
    if (!message_.has_chunk()) return Refuse(MakeRefusal(Refusal::MALFORMED, "a second head"));
    const absl::Status status =
        opening_->spooled->Add(message_.chunk().number(), message_.chunk().data());
    if (status.ok()) return StartRead(&message_);
    if (absl::IsDataLoss(status)) {
      return Refuse(MakeRefusal(Refusal::CORRUPTED, std::string(status.message())));
    }
    if (absl::IsOutOfRange(status)) {
      return Refuse(MakeRefusal(Refusal::MALFORMED, std::string(status.message())));
    }
    Fail(status);
  }
  void OnDone() override {
    service_.streams().Remove(this);
    delete this;
  }

 private:
  void TakeHead() {
    if (!message_.has_head()) {
      return Refuse(MakeRefusal(Refusal::MALFORMED, "a push begins with its head"));
    }
    const PushHead& head = message_.head();
    const Caller caller = service_.Identify(*call_, head.context(), SessionRule::kNeeded);
    if (IsRefused(caller.refusal)) return Refuse(caller.refusal);
    auto opening = service_.intake().Open(site_, head.signed_contribution(), head.chunk_sha256s());
    if (!opening.ok()) return Fail(opening.status());
    if (opening->answered && opening->reply.has_refusal()) return Refuse(opening->reply.refusal());
    if (opening->answered) {
      *reply_ = opening->reply;
      return Finish(grpc::Status::OK);
    }
    opening_ = *std::move(opening);
    StartRead(&message_);
  }

  void EndOfStream() {
    if (!opening_.has_value()) {
      return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the stream ended before its head"));
    }
    // Also when the connection broke: what came is kept, and asked for by its bitmap.
    const absl::Status status = opening_->spooled->Flush();
    if (!status.ok()) return Fail(status);
    if (!opening_->spooled->complete()) {
      reply_->set_chunk_bitmap(opening_->spooled->bitmap());
      return Finish(grpc::Status::OK);
    }
    WaitsForUs();
    service_.intake().Complete(*opening_, [this](const absl::StatusOr<PushReply>& answer) {
      if (!answer.ok()) return Fail(answer.status());
      *reply_ = *answer;
      Finish(grpc::Status::OK);
    });
  }

  // The site may try again.
  void Fail(const absl::Status& status) {
    service_.driver().ReportTrouble(status);
    Finish(Trouble(status));
  }

  void Refuse(const Refusal& refusal) {
    // What came before it was right, and stays for the next try.
    if (opening_.has_value()) opening_->spooled->Flush().IgnoreError();
    service_.RecordRefusal(site_, refusal);
    *reply_->mutable_refusal() = refusal;
    Finish(grpc::Status::OK);
  }

  const CoordinatorService& service_;
  PushReply* const reply_;
  PushMessage message_;
  std::string site_;
  std::optional<ContributionIntake::Opening> opening_;
};

}  // namespace

grpc::ServerWriteReactor<BlobChunk>* StartPull(const CoordinatorService& service,
                                               grpc::CallbackServerContext* call,
                                               const PullRequest& request) {
  auto* reactor = new PullReactor(service, call);
  reactor->Start(request);
  return reactor;
}

grpc::ServerReadReactor<PushMessage>* StartPush(const CoordinatorService& service,
                                                grpc::CallbackServerContext* call,
                                                PushReply* reply) {
  auto* reactor = new PushReactor(service, call, reply);
  reactor->Start();
  return reactor;
}

}  // namespace weft
