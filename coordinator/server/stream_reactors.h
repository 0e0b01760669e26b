// The three streams of the service. Each is an object that deletes itself when gRPC says that the
// call is done.
#ifndef WEFT_COORDINATOR_SERVER_STREAM_REACTORS_H_
#define WEFT_COORDINATOR_SERVER_STREAM_REACTORS_H_

#include "coordinator/server/coordinator_service.h"

namespace weft {

// The round as it is now, then every change, and heartbeats. Changes that come while a message is
// on its way are told by the next one: a site needs the newest state, not every state.
grpc::ServerWriteReactor<RoundEvent>* StartWatch(const CoordinatorService& service,
                                                 grpc::CallbackServerContext* call,
                                                 const WatchRequest& request);
// Chunks of the current consensus, or of its encoded change.
grpc::ServerWriteReactor<BlobChunk>* StartPull(const CoordinatorService& service,
                                               grpc::CallbackServerContext* call,
                                               const PullRequest& request);
// A head, then chunks; answered when the site has ended its stream, or at the first thing that is
// refused.
grpc::ServerReadReactor<PushMessage>* StartPush(const CoordinatorService& service,
                                                grpc::CallbackServerContext* call,
                                                PushReply* reply);

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_STREAM_REACTORS_H_
