#include "worker/gate/coordinator_client.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ops/log.h"
#include "worker/gate/partial_blob.h"

namespace weft {
namespace {

// Errors that another attempt may mend. The others would come again.
bool MayPass(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:  // by a coordinator that ends; our own end is `stop`
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

bool ChunkIsThere(const std::string& bitmap, uint64_t number) {
  return number / 8 < bitmap.size() &&
         (static_cast<uint8_t>(bitmap[number / 8]) >> (number % 8) & 1) != 0;
}

bool Answered(const PushReply& reply) {
  return reply.stored() || reply.refusal().code() != Refusal::NONE;
}

}  // namespace

absl::Duration Backoff::Next() {
  const absl::Duration whole = std::min(max_, first_ * (int64_t{1} << std::min(failures_, 20)));
  ++failures_;
  const double share = 0.5 + 0.5 * (static_cast<double>(random_() - random_.min()) /
                                    (random_.max() - random_.min()));
  return share * whole;
}

void CoordinatorClient::Sleep(absl::Duration time) const {
  const absl::Time end = absl::Now() + time;
  while (!stop_->load() && absl::Now() < end) {
    absl::SleepFor(std::min(end - absl::Now(), absl::Milliseconds(50)));
  }
}

absl::Status CoordinatorClient::Retry(absl::string_view what, absl::Duration patience,
                                      const std::function<absl::Status()>& attempt) {
  Backoff backoff(options_.backoff_first, options_.backoff_max);
  const absl::Time give_up = absl::Now() + patience;
  int damaged = 0;
  while (true) {
    const absl::Status status = attempt();
    if (status.ok() || !MayPass(status)) return status;
    if (stop_->load()) return absl::CancelledError("the gate was asked to end");
    // Between calls nobody drives gRPC's channel: a connection it makes by itself meanwhile dies in
    // its handshake, again and again. A new one is made within the next call.
    if (absl::IsUnavailable(status)) egress_->Reconnect();
    damaged = absl::IsDataLoss(status) ? damaged + 1 : 0;
    if (damaged >= options_.damaged_max) return status;
    // While we wait nobody drives gRPC's channel, so that one which lost its peer can fail to
    // connect for ever: the next attempt gets a new one.
    if (absl::IsUnavailable(status)) egress_->Reconnect();
    const absl::Duration wait = backoff.Next();
    if (absl::Now() + wait > give_up) {
      return absl::Status(status.code(), absl::StrCat(status.message(), "; given up after ",
                                                      absl::FormatDuration(patience)));
    }
    LogWarning(absl::StrCat(what, " failed, trying again"),
               {{"in", absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1)))},
                {"reason", std::string(status.message())}});
    Sleep(wait);
  }
}

absl::StatusOr<JoinReply> CoordinatorClient::Join(const JoinRequest& request) {
  egress_->CloseWatch();  // of the session that this one replaces
  JoinReply reply;
  absl::Status status = Retry("join", options_.patience, [&] {
    const absl::Time sent = absl::Now();
    absl::Status asked = egress_->Join(request, options_.call_deadline, &reply);
    if (asked.ok()) clock_ = MeasureClock(sent, absl::Now(), reply.server_unix_ms());
    return asked;
  });
  if (!status.ok()) return status;
  return reply;
}

absl::StatusOr<ReportReply> CoordinatorClient::Report(RoundReport report) {
  ReportRequest request;
  *request.mutable_report() = std::move(report);
  *request.mutable_report()->mutable_context() = context_;
  ReportReply reply;
  absl::Status status = Retry("report", options_.patience, [&] {
    return egress_->Report(request, options_.call_deadline, &reply);
  });
  if (!status.ok()) return status;
  return reply;
}

absl::StatusOr<LeaveReply> CoordinatorClient::Leave(const std::string& reason) {
  egress_->CloseWatch();
  LeaveRequest request;
  *request.mutable_context() = context_;
  request.set_reason(reason.substr(0, kEgressTextMax));
  LeaveReply reply;
  absl::Status status = Retry("leave", absl::Seconds(5),
                              [&] { return egress_->Leave(request, absl::Seconds(5), &reply); });
  if (!status.ok()) return status;
  return reply;
}

absl::StatusOr<PushReply> CoordinatorClient::Push(const FormedContribution& contribution,
                                                  const std::string& blob_path) {
  ResumeRequest ask;
  *ask.mutable_context() = context_;
  ask.set_signed_contribution(contribution.signed_statement);
  ask.set_chunk_sha256s(contribution.chunk_sha256s);
  PushReply reply;
  absl::Status status = Retry("push", options_.patience, [&]() -> absl::Status {
    // What has arrived before, in this life of the gate or an earlier one, is not sent again.
    reply.Clear();
    absl::Status asked = egress_->Resume(ask, options_.call_deadline, &reply);
    const uint64_t chunks = ChunkCount(contribution.blob_bytes);
    for (uint64_t call = 0; asked.ok() && !Answered(reply); ++call) {
      // Each call brings chunks forward, or the coordinator does not keep them.
      if (call > chunks)
        return absl::InternalError("the coordinator takes chunks but says that they are missing");
      asked = PushMissing(contribution, blob_path, &reply);
    }
    return asked;
  });
  if (!status.ok()) return status;
  return reply;
}

absl::Status CoordinatorClient::PushMissing(const FormedContribution& contribution,
                                            const std::string& blob_path, PushReply* reply) {
  std::ifstream file(blob_path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(blob_path, ": cannot be opened"));
  std::vector<uint64_t> missing;
  const uint64_t chunks = ChunkCount(contribution.blob_bytes);
  for (uint64_t i = 0; i < chunks && missing.size() < options_.chunks_per_call; ++i) {
    if (!ChunkIsThere(reply->chunk_bitmap(), i)) missing.push_back(i);
  }
  bool head_sent = false;
  size_t next = 0;
  const auto make = [&]() -> absl::StatusOr<std::optional<PushMessage>> {
    PushMessage message;
    if (!head_sent) {
      head_sent = true;
      *message.mutable_head()->mutable_context() = context_;
      message.mutable_head()->set_signed_contribution(contribution.signed_statement);
      message.mutable_head()->set_chunk_sha256s(contribution.chunk_sha256s);
      return message;
    }
    if (next == missing.size()) return std::nullopt;
    const uint64_t number = missing[next++];
    std::string data(ChunkLength(contribution.blob_bytes, number), '\0');
    file.seekg(static_cast<std::streamoff>(number * kChunkBytes));
    if (!file.read(data.data(), static_cast<std::streamsize>(data.size()))) {
      return absl::FailedPreconditionError(
          absl::StrCat(blob_path, ": chunk ", number, " cannot be read"));
    }
    message.mutable_chunk()->set_number(static_cast<uint32_t>(number));
    message.mutable_chunk()->set_sha256(contribution.chunk_sha256s.substr(number * 32, 32));
    message.mutable_chunk()->set_data(std::move(data));
    return message;
  };
  const absl::Duration deadline =
      options_.call_deadline + options_.chunk_deadline * static_cast<int64_t>(missing.size());
  PushReply answer;
  absl::Status status = egress_->Push(make, deadline, &answer);
  if (status.ok()) *reply = std::move(answer);
  return status;
}

absl::StatusOr<Refusal> CoordinatorClient::Pull(const Digest& digest, uint64_t blob_bytes,
                                                const std::string& partial) {
  Refusal refusal;
  absl::Status status = Retry("pull", options_.patience, [&]() -> absl::Status {
    absl::StatusOr<PartialBlob> blob = PartialBlob::Open(partial, blob_bytes);
    if (!blob.ok()) return blob.status();
    while (!blob->complete()) {
      PullRequest request;
      *request.mutable_context() = context_;
      request.set_blob_digest(ToBytes(digest));
      const uint64_t end =
          std::min(blob->next_chunk() + options_.chunks_per_call, ChunkCount(blob_bytes));
      for (uint64_t i = blob->next_chunk(); i < end; ++i)
        request.add_chunks(static_cast<uint32_t>(i));
      const absl::Duration deadline =
          options_.call_deadline + options_.chunk_deadline * request.chunks_size();
      absl::Status pulled =
          egress_->Pull(request, deadline, [&](const BlobChunk& chunk) -> absl::Status {
            if (chunk.refusal().code() == Refusal::NONE) return blob->Append(chunk);
            refusal = chunk.refusal();
            return absl::OkStatus();
          });
      if (!pulled.ok()) return pulled;
      if (refusal.code() != Refusal::NONE) return absl::OkStatus();
      if (blob->next_chunk() < end)
        return absl::UnavailableError("the coordinator sent fewer chunks than were asked for");
    }
    return blob->Finish(digest);
  });
  if (!status.ok()) return status;
  return refusal;
}

absl::StatusOr<RoundEvent> CoordinatorClient::NextEvent(absl::Duration wait) {
  if (!egress_->watching()) {
    if (absl::Now() < next_watch_) {
      Sleep(std::min(wait, next_watch_ - absl::Now()));
      return absl::DeadlineExceededError("waiting before the next attempt to watch");
    }
    WatchRequest request;
    *request.mutable_context() = context_;
    if (absl::Status status = egress_->OpenWatch(request); !status.ok()) return status;
    silent_for_ = absl::ZeroDuration();
  }
  const absl::Time began = absl::Now();
  absl::StatusOr<RoundEvent> event = egress_->NextEvent(wait);
  if (event.ok()) {
    watch_backoff_.Reset();
    silent_for_ = absl::ZeroDuration();
    return event;
  }
  absl::Status why = event.status();
  if (absl::IsDeadlineExceeded(why)) {
    // Only time spent listening counts: while a blob travels nobody listens here.
    silent_for_ += absl::Now() - began;
    if (silent_for_ < options_.silence_max) return why;
    why = absl::UnavailableError(
        absl::StrCat("no heartbeat for ", absl::FormatDuration(options_.silence_max)));
  }
  if (!MayPass(why) || stop_->load()) return why;
  egress_->Reconnect();
  const absl::Duration next = watch_backoff_.Next();
  next_watch_ = absl::Now() + next;
  LogWarning("watch lost, connecting again",
             {{"in", absl::FormatDuration(absl::Trunc(next, absl::Milliseconds(1)))},
              {"reason", std::string(why.message())}});
  return absl::UnavailableError(why.message());
}

}  // namespace weft
