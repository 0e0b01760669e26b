#include "coordinator/tools/named_digests.h"

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace weft {
namespace {

using google::protobuf::FieldDescriptor;

bool IsDigestName(const std::string& name) {
  const std::string suffix = "digest";
  return name.size() >= suffix.size() &&
         name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
}

void Collect(const google::protobuf::Message& message, std::set<Digest>* digests) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        Collect(field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                     : reflection.GetMessage(message, field),
                digests);
      } else if (field->type() == FieldDescriptor::TYPE_BYTES && IsDigestName(field->name())) {
        const absl::StatusOr<Digest> digest =
            DigestFromBytes(field->is_repeated() ? reflection.GetRepeatedString(message, field, i)
                                                 : reflection.GetString(message, field));
        if (digest.ok()) digests->insert(*digest);
      }
    }
  }
}

}  // namespace

std::set<Digest> NamedDigests(const google::protobuf::Message& message) {
  std::set<Digest> digests;
  Collect(message, &digests);
  return digests;
}

}  // namespace weft
