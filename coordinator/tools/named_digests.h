// Every digest that a message names, wherever in it: the fields of 32 bytes called "digest" or
// "..._digest". A field that is added later counts by itself.
//
//   std::set<Digest> named = NamedDigests(state);
#ifndef WEFT_COORDINATOR_TOOLS_NAMED_DIGESTS_H_
#define WEFT_COORDINATOR_TOOLS_NAMED_DIGESTS_H_

#include <set>
#include <string>

#include "google/protobuf/message.h"
#include "proto/digest.h"

namespace weft {

std::set<Digest> NamedDigests(const google::protobuf::Message& message);

}  // namespace weft

#endif  // WEFT_COORDINATOR_TOOLS_NAMED_DIGESTS_H_
