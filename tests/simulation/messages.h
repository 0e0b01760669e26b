// What travels between a simulated site and the coordinator: the protocol's own messages, whole
// blobs instead of their chunks, and the signer's name instead of a signature.
#ifndef WEFT_TESTS_SIMULATION_MESSAGES_H_
#define WEFT_TESTS_SIMULATION_MESSAGES_H_

#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "proto/contribution.pb.h"
#include "proto/coordinator.pb.h"

namespace weft::simulation {

struct PushCall {
  MessageContext context;
  std::string signer;  // whose key made the signature
  Contribution contribution;
  std::string blob;
};
struct PullAnswer {
  Refusal refusal;
  std::string blob;
};
using Call = std::variant<JoinRequest, PullRequest, PushCall, ReportRequest, LeaveRequest>;
using Answer = std::variant<JoinReply, PullAnswer, PushReply, ReportReply, LeaveReply>;
using SharedCall = std::shared_ptr<const Call>;
using SharedAnswer = std::shared_ptr<const Answer>;
// Carries the answer to the caller, if the network lets it.
using Respond = std::function<void(Answer)>;

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_MESSAGES_H_
