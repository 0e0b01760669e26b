#include "tests/testing/test_site.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

#include "grpcpp/grpcpp.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_digest.h"
#include "proto/check.h"
#include "proto/durable_file.h"
#include "proto/signed_statement.h"

namespace weft::testing {
namespace {

void SetDeadline(grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
}

}  // namespace

TestSite::TestSite(const RunFixture& run, const std::string& site, const std::string& kit)
    : run_(run), site_(site) {
  key_pem_ = *ReadWholeFile(kit + "/key.pem");
  certificate_pem_ = *ReadWholeFile(kit + "/certificate.pem");
  context_.set_protocol_version(1);
  context_.set_run_id(run.manifest().run_id());
  Connect();
}

void TestSite::Connect() {
  grpc::SslCredentialsOptions options;
  // Trusts the run's authority, whoever signed its own certificate.
  options.pem_root_certs = *ReadWholeFile(run_.path("authority/certificate.pem"));
  options.pem_private_key = key_pem_;
  options.pem_cert_chain = certificate_pem_;
  grpc::ChannelArguments arguments;
  // A connection of its own, with a handshake of its own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const std::string address = "127.0.0.1:" + std::to_string(run_.port());
  stub_ = Coordinator::NewStub(
      grpc::CreateCustomChannel(address, grpc::SslCredentials(options), arguments));
}

TestSite::Prepared TestSite::Prepare(const RoundEvent& round, const std::vector<float>& x,
                                     const std::function<void(Contribution*)>& change) const {
  VectorHeader header;
  header.element_count = x.size();
  header.layout = run_.layout().digest();
  std::string blob = PrintVectorHeader(header);
  blob.append(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(float));
  return PrepareBlob(round, std::move(blob), change);
}

TestSite::Prepared TestSite::PrepareBlob(const RoundEvent& round, std::string blob,
                                         const std::function<void(Contribution*)>& change) const {
  Prepared prepared;
  std::vector<Digest> digests;
  for (uint64_t i = 0; i < ChunkCount(blob.size()); ++i) {
    digests.push_back(Sha256(absl::string_view(blob).substr(i * kChunkBytes, kChunkBytes)));
    prepared.head.mutable_chunk_sha256s()->append(ToBytes(digests.back()));
  }
  prepared.digest = ToBytes(BlobDigest(blob.size(), digests));
  Contribution contribution;
  *contribution.mutable_context() = round.context();
  contribution.mutable_context()->clear_session_id();
  contribution.set_site(site_);
  contribution.set_round(round.round());
  contribution.set_base_digest(round.base_digest());
  contribution.set_layout_digest(ToBytes(run_.layout().digest()));
  contribution.set_encoding(run_.manifest().encodings().up());
  contribution.set_blob_digest(prepared.digest);
  contribution.set_blob_bytes(blob.size());
  contribution.set_inner_steps(run_.manifest().rounds().inner_steps());
  contribution.set_token_count(320);
  if (change != nullptr) change(&contribution);
  SignedStatement statement;
  statement.payload_type = std::string(kContributionType);
  statement.payload = contribution.SerializeAsString();
  WEFT_CHECK(Sign(key_pem_, &statement).ok());
  prepared.head.set_signed_contribution(PrintSignedStatement(statement));
  prepared.blob = std::move(blob);
  return prepared;
}

grpc::Status TestSite::TryJoin(JoinReply* reply, const std::string& manifest_digest) {
  JoinRequest request;
  *request.mutable_context() = context_;
  request.set_site(site_);
  request.set_manifest_digest(manifest_digest.empty() ? ToBytes(run_.manifest_digest())
                                                      : manifest_digest);
  grpc::ClientContext context;
  SetDeadline(&context);
  const grpc::Status status = stub_->Join(&context, request, reply);
  if (status.ok() && !reply->has_refusal()) context_ = reply->context();
  return status;
}

JoinReply TestSite::Ask() {
  JoinRequest request;
  request.mutable_context()->set_protocol_version(context_.protocol_version());
  request.mutable_context()->set_run_id(context_.run_id());
  request.set_site(site_);
  request.set_manifest_digest(ToBytes(run_.manifest_digest()));
  request.set_only_asking(true);
  grpc::ClientContext context;
  SetDeadline(&context);
  JoinReply reply;
  const grpc::Status status = stub_->Join(&context, request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return reply;
}

JoinReply TestSite::Join() {
  JoinReply reply;
  const grpc::Status status = TryJoin(&reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return reply;
}

RoundEvent TestSite::WaitFor(const std::function<bool(const RoundEvent&)>& wanted) {
  grpc::ClientContext context;
  SetDeadline(&context);
  WatchRequest request;
  *request.mutable_context() = context_;
  const auto stream = stub_->Watch(&context, request);
  RoundEvent event;
  while (stream->Read(&event)) {
    if (!wanted(event)) continue;
    context.TryCancel();
    return event;
  }
  const grpc::Status status = stream->Finish();
  ADD_FAILURE() << "the watch of " << site_ << " ended: " << status.error_message()
                << "; last: " << event.ShortDebugString();
  return event;
}

RoundEvent TestSite::WaitForPhase(RoundEvent::Phase phase, uint64_t round) {
  return WaitFor([=](const RoundEvent& e) { return e.phase() == phase && e.round() == round; });
}

PushReply TestSite::Push(const Prepared& prepared) {
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < ChunkCount(prepared.blob.size()); ++i) all.push_back(i);
  return Push(prepared, all);
}

PushReply TestSite::Push(const Prepared& prepared, const std::vector<uint32_t>& chunks) {
  grpc::ClientContext context;
  SetDeadline(&context);
  PushReply reply;
  const auto stream = stub_->Push(&context, &reply);
  PushMessage message;
  *message.mutable_head() = prepared.head;
  *message.mutable_head()->mutable_context() = context_;
  bool open = stream->Write(message);
  for (const uint32_t number : chunks) {
    message.Clear();
    message.mutable_chunk()->set_number(number);
    message.mutable_chunk()->set_data(prepared.blob.substr(number * kChunkBytes, kChunkBytes));
    open = open && stream->Write(message);
  }
  stream->WritesDone();
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_code() << " " << status.error_message();
  return reply;
}

PushReply TestSite::Resume(const Prepared& prepared) {
  grpc::ClientContext context;
  SetDeadline(&context);
  ResumeRequest request;
  *request.mutable_context() = context_;
  request.set_signed_contribution(prepared.head.signed_contribution());
  request.set_chunk_sha256s(prepared.head.chunk_sha256s());
  PushReply reply;
  const grpc::Status status = stub_->Resume(&context, request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return reply;
}

std::string TestSite::Pull(const std::string& digest, uint64_t bytes, Refusal* refusal) {
  grpc::ClientContext context;
  SetDeadline(&context);
  PullRequest request;
  *request.mutable_context() = context_;
  request.set_blob_digest(digest);
  const auto stream = stub_->Pull(&context, request);
  std::string blob(bytes, '\0');
  BlobChunk chunk;
  while (stream->Read(&chunk)) {
    if (chunk.has_refusal()) {
      if (refusal != nullptr) *refusal = chunk.refusal();
      EXPECT_NE(refusal, nullptr) << chunk.refusal().reason();
      return "";
    }
    EXPECT_EQ(ToBytes(Sha256(chunk.data())), chunk.sha256());
    WEFT_CHECK(chunk.number() * kChunkBytes + chunk.data().size() <= bytes);
    std::memcpy(blob.data() + chunk.number() * kChunkBytes, chunk.data().data(),
                chunk.data().size());
  }
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(ToBytes(BlobDigest(blob)), digest);
  return blob;
}

ReportReply TestSite::Report(uint64_t round, double loss) {
  grpc::ClientContext context;
  SetDeadline(&context);
  ReportRequest request;
  *request.mutable_report()->mutable_context() = context_;
  request.mutable_report()->set_round(round);
  request.mutable_report()->set_last_loss(loss);
  ReportReply reply;
  const grpc::Status status = stub_->Report(&context, request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return reply;
}

LeaveReply TestSite::Leave() {
  grpc::ClientContext context;
  SetDeadline(&context);
  LeaveRequest request;
  *request.mutable_context() = context_;
  request.set_reason("done");
  LeaveReply reply;
  const grpc::Status status = stub_->Leave(&context, request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return reply;
}

std::vector<float> Values(const std::string& blob) {
  std::vector<float> values((blob.size() - kVectorHeaderBytes) / sizeof(float));
  std::memcpy(values.data(), blob.data() + kVectorHeaderBytes, values.size() * sizeof(float));
  return values;
}

}  // namespace weft::testing
