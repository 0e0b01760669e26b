// Protobuf messages kept as text format: configuration, manifests, orders. Unknown fields and wrong
// types are refused with file, line and column.
#ifndef WEFT_PROTO_TEXT_FILE_H_
#define WEFT_PROTO_TEXT_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace weft {

// `source` names the text in errors: "run.textproto:12:3: no field named "rouds" in
// weft.RunManifest".
absl::Status ParseTextProto(absl::string_view text, const std::string& source,
                            google::protobuf::Message* message);
absl::Status ReadTextProto(const std::string& path, google::protobuf::Message* message);
std::string PrintTextProto(const google::protobuf::Message& message);
absl::Status WriteTextProto(const std::string& path, const google::protobuf::Message& message);

}  // namespace weft

#endif  // WEFT_PROTO_TEXT_FILE_H_
