// Who calls, and may they? Decided for every call from the certificate that TLS has verified and
// from the signed membership that is in force now: a revocation holds from the next call on.
//
// Pure but for the parsing of the certificate. Thread-safe.
#ifndef WEFT_COORDINATOR_SERVER_CALLER_H_
#define WEFT_COORDINATOR_SERVER_CALLER_H_

#include <string>

#include "coordinator/core/round_state.pb.h"
#include "grpcpp/grpcpp.h"
#include "proto/contribution.pb.h"
#include "proto/coordinator.pb.h"

namespace weft {

struct Caller {
  std::string site;  // the common name of its certificate
  Refusal refusal;   // NONE: it may go on
};

// The common name of the certificate, before anything else is known of the call.
std::string CallerName(const grpc::ServerContextBase& call);

enum class SessionRule { kNeeded, kNone };  // none: Join gives one, and who only asks reads without

Caller IdentifyCaller(const grpc::ServerContextBase& call, const RunManifest& manifest,
                      const RoundState& state, const MessageContext& context, SessionRule rule);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_CALLER_H_
