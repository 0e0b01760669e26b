// A site of tests: speaks the coordinator's service over real TLS, and can do every step wrongly.
// It is no gate: no ledger, no retries, vectors in memory.
#ifndef WEFT_TESTS_TESTING_TEST_SITE_H_
#define WEFT_TESTS_TESTING_TEST_SITE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/coordinator.grpc.pb.h"
#include "tests/testing/run_fixture.h"

namespace weft::testing {

class TestSite {
 public:
  TestSite(const RunFixture& run, const std::string& site) : TestSite(run, site, run.kit(site)) {}
  TestSite(const RunFixture& run, const std::string& site, const std::string& kit);

  // A new connection, with the session it has: after the coordinator was started again.
  void Connect();

  // A contribution ready to be sent. `change` may spoil what is signed.
  struct Prepared {
    PushHead head;
    std::string blob;
    std::string digest;  // of the blob, bytes
  };
  Prepared Prepare(const RoundEvent& round, const std::vector<float>& x,
                   const std::function<void(Contribution*)>& change = nullptr) const;
  // Signs `blob` as it is.
  Prepared PrepareBlob(const RoundEvent& round, std::string blob,
                       const std::function<void(Contribution*)>& change = nullptr) const;

  // A gRPC error becomes a test failure, except where a Status is returned.
  grpc::Status TryJoin(JoinReply* reply, const std::string& manifest_digest = {});
  // Whether it could join; its session, if it has one, is kept.
  JoinReply Ask();
  JoinReply Join();
  // The first event of a watch that satisfies `wanted`, within 20 s.
  RoundEvent WaitFor(const std::function<bool(const RoundEvent&)>& wanted);
  RoundEvent WaitForPhase(RoundEvent::Phase phase, uint64_t round);
  // Sends the chunks of these numbers; all of them by default.
  PushReply Push(const Prepared& prepared);
  PushReply Push(const Prepared& prepared, const std::vector<uint32_t>& chunks);
  PushReply Resume(const Prepared& prepared);
  // The blob, or the refusal.
  std::string Pull(const std::string& digest, uint64_t bytes, Refusal* refusal = nullptr);
  ReportReply Report(uint64_t round, double loss);
  LeaveReply Leave();

  Coordinator::Stub& stub() { return *stub_; }
  const MessageContext& context() const { return context_; }

 private:
  const RunFixture& run_;
  const std::string site_;
  std::string key_pem_;
  std::string certificate_pem_;
  MessageContext context_;
  std::unique_ptr<Coordinator::Stub> stub_;
};

// The values of a parameters_fp32 blob.
std::vector<float> Values(const std::string& blob);

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_TEST_SITE_H_
