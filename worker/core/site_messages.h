// The messages that a site's side of the protocol writes from what it knows: the worker's order,
// and the report of its result. Pure.
#ifndef WEFT_WORKER_CORE_SITE_MESSAGES_H_
#define WEFT_WORKER_CORE_SITE_MESSAGES_H_

#include <string>

#include "proto/contribution.pb.h"
#include "proto/run_manifest.pb.h"
#include "worker/core/gate_state.pb.h"

namespace weft::site {

// What the worker of `site` is to do in `round`.
RoundOrder MakeOrder(const RunManifest& manifest, const std::string& site, const GateState& state,
                     const RoundEvent& round);

// What the coordinator is told of it, without the context of a call.
RoundReport MakeReport(const RoundEvent& round, const RoundResult& result);

}  // namespace weft::site

#endif  // WEFT_WORKER_CORE_SITE_MESSAGES_H_
