// A coordinator in the test's own process: the generated service behind real TLS on the loopback,
// with certificates of a test authority. It answers what the test tells it to, and remembers what
// it was asked.
#ifndef WEFT_TESTS_TESTING_FAKE_COORDINATOR_H_
#define WEFT_TESTS_TESTING_FAKE_COORDINATOR_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ops/identity.h"
#include "proto/blob_digest.h"
#include "proto/check.h"
#include "proto/coordinator.grpc.pb.h"
#include "proto/signed_statement.h"

namespace weft::testing {

// authority/, and a kit for the coordinator and for each name, under `folder`.
inline void MakeKits(const std::string& folder, const std::vector<std::string>& sites) {
  const auto authority = folder + "/authority";
  WEFT_CHECK(MakeAuthority(authority, "test authority", absl::Hours(1)).ok());
  const auto issue = [&](const std::string& name, const std::vector<std::string>& hosts) {
    const std::string kit = folder + "/" + name;
    WEFT_CHECK(MakeRequest(kit, name).ok());
    WEFT_CHECK(IssueCertificate(authority, kit + "/request.pem", kit, hosts, absl::Hours(1)).ok());
  };
  issue(std::string(kCoordinatorName), {"127.0.0.1"});
  for (const std::string& site : sites) issue(site, {});
}

class FakeCoordinator final : public Coordinator::Service {
 public:
  // What it has from its beginning: a client may be there as soon as it serves.
  struct Kept {
    std::map<std::string, std::string> blobs;
    std::map<uint32_t, std::string> pushed;
  };
  // Serves as `identity`. A port of an earlier one makes it look like that one restarted.
  explicit FakeCoordinator(const Identity& identity, int port = 0, Kept kept = {})
      : blobs(std::move(kept.blobs)), pushed(std::move(kept.pushed)) {
    grpc::SslServerCredentialsOptions tls(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = identity.authority_pem;
    tls.pem_key_cert_pairs.push_back({identity.key_pem, identity.certificate_pem});
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), grpc::SslServerCredentials(tls),
                             &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    WEFT_CHECK(server_ != nullptr);
  }
  ~FakeCoordinator() override {
    closing = true;
    server_->Shutdown(absl::ToChronoTime(absl::Now() + absl::Seconds(1)));
  }
  int port() const { return port_; }
  std::string target() const { return absl::StrCat("127.0.0.1:", port_); }

  // What it answers.
  std::atomic<bool> closing{false};
  std::atomic<int> unavailable{0};  // so many calls fail before they are answered
  std::atomic<grpc::StatusCode> fails_with{grpc::StatusCode::UNAVAILABLE};
  std::atomic<int> damaged_chunks{0};
  std::atomic<int> push_breaks_after{-1};  // chunks of the next push; then the stream breaks
  std::atomic<int> stalls_after{-1};  // chunks of a pull or push; then it hangs until the fake goes
  std::atomic<int> heartbeats{-1};    // of a watch, then silence; -1: no end
  Refusal::Code refuse = Refusal::NONE;
  absl::Duration clock_ahead;
  RoundEvent now;
  std::map<std::string, std::string> blobs;  // by digest

  // What it was asked.
  std::atomic<int> joins{0}, asked{0}, watches{0}, chunks_pulled{0}, chunks_pushed{0}, reports{0};
  std::atomic<bool> stalled{false};
  std::string stored;  // digest
  RoundReport report;
  std::map<std::string, int> pulls;
  std::map<uint32_t, std::string> pushed;
  std::string announced;  // signed contribution

 private:
  using Status = grpc::Status;
  Status Hiccup() {
    if (unavailable.fetch_sub(1) > 0) return Status(fails_with, "a hiccup");
    unavailable = 0;
    return Status::OK;
  }
  // Holds a transfer in its middle until the fake goes. True: it has gone.
  bool Stalled(int chunks) {
    if (stalls_after < 0 || chunks < stalls_after) return false;
    stalled = true;
    while (!closing) absl::SleepFor(absl::Milliseconds(5));
    return true;
  }
  template <typename Reply>
  void MaybeRefuse(Reply* reply) {
    if (refuse == Refusal::NONE) return;
    reply->mutable_refusal()->set_code(refuse);
    reply->mutable_refusal()->set_reason("the fake says no");
  }

  Status Join(grpc::ServerContext*, const JoinRequest* request, JoinReply* reply) override {
    if (Status status = Hiccup(); !status.ok()) return status;
    ++(request->only_asking() ? asked : joins);
    MaybeRefuse(reply);
    *reply->mutable_context() = request->context();
    if (!request->only_asking()) reply->mutable_context()->set_session_id("session");
    reply->mutable_context()->set_coordinator_epoch(1);
    *reply->mutable_now() = now;
    reply->set_server_unix_ms(absl::ToUnixMillis(absl::Now() + clock_ahead));
    return Status::OK;
  }
  Status Watch(grpc::ServerContext* context, const WatchRequest*,
               grpc::ServerWriter<RoundEvent>* writer) override {
    ++watches;
    for (int sent = 0; !closing && !context->IsCancelled();) {
      if ((heartbeats < 0 || sent < heartbeats) && (++sent, !writer->Write(now))) break;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return Status::OK;
  }
  Status Pull(grpc::ServerContext*, const PullRequest* request,
              grpc::ServerWriter<BlobChunk>* writer) override {
    if (Status status = Hiccup(); !status.ok()) return status;
    BlobChunk chunk;
    const auto found = blobs.find(request->blob_digest());
    ++pulls[request->blob_digest()];
    if (found == blobs.end()) {
      chunk.mutable_refusal()->set_code(Refusal::UNKNOWN_BLOB);
      writer->Write(chunk);
      return Status::OK;
    }
    for (uint32_t number : request->chunks()) {
      if (Stalled(chunks_pulled)) return Status(grpc::StatusCode::UNAVAILABLE, "going down");
      chunk.set_number(number);
      chunk.set_data(found->second.substr(number * kChunkBytes, kChunkBytes));
      chunk.set_sha256(ToBytes(Sha256(chunk.data())));
      if (damaged_chunks.fetch_sub(1) > 0) chunk.mutable_data()->at(17) ^= 1;
      ++chunks_pulled;
      if (!writer->Write(chunk)) break;
    }
    return Status::OK;
  }
  void Answer(const std::string& digest, uint64_t chunks, PushReply* reply) {
    if (refuse != Refusal::NONE) return MaybeRefuse(reply);
    std::string bitmap((chunks + 7) / 8, '\0');
    for (const auto& [number, data] : pushed)
      bitmap[number / 8] |= static_cast<char>(1 << (number % 8));
    reply->set_chunk_bitmap(bitmap);
    if (pushed.size() < chunks) return;
    stored = digest;
    reply->set_stored(true);
    reply->set_receipt_digest(digest);
  }
  static Contribution Parse(const std::string& signed_contribution) {
    Contribution contribution;
    const auto statement = ParseSignedStatement(signed_contribution, "push");
    WEFT_CHECK(statement.ok() && contribution.ParseFromString(statement->payload));
    return contribution;
  }
  Status Resume(grpc::ServerContext*, const ResumeRequest* request, PushReply* reply) override {
    if (Status status = Hiccup(); !status.ok()) return status;
    const Contribution contribution = Parse(request->signed_contribution());
    Answer(contribution.blob_digest(), ChunkCount(contribution.blob_bytes()), reply);
    return Status::OK;
  }
  Status Push(grpc::ServerContext*, grpc::ServerReader<PushMessage>* reader,
              PushReply* reply) override {
    PushMessage message;
    int here = 0;
    while (reader->Read(&message)) {
      if (message.has_head()) {
        announced = message.head().signed_contribution();
        continue;
      }
      if (push_breaks_after >= 0 && here == push_breaks_after) {
        push_breaks_after = -1;
        return Status(grpc::StatusCode::UNAVAILABLE, "the line broke");
      }
      if (Stalled(chunks_pushed)) return Status(grpc::StatusCode::UNAVAILABLE, "going down");
      ++here;
      ++chunks_pushed;
      pushed[message.chunk().number()] = message.chunk().data();
    }
    const Contribution contribution = Parse(announced);
    Answer(contribution.blob_digest(), ChunkCount(contribution.blob_bytes()), reply);
    return Status::OK;
  }
  Status Report(grpc::ServerContext*, const ReportRequest* request, ReportReply*) override {
    if (Status status = Hiccup(); !status.ok()) return status;
    ++reports;
    report = request->report();
    return Status::OK;
  }
  Status Leave(grpc::ServerContext*, const LeaveRequest*, LeaveReply*) override {
    return Status::OK;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_FAKE_COORDINATOR_H_
