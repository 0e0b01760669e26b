// A statement that is accepted prints and parses back to itself, and none of these inputs holds a
// signature of this key.
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "proto/check.h"
#include "proto/signed_statement.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

// Its private key was thrown away.
const char kPublicKey[] = R"(-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZiXaH7E2IYctqsWyeYcshCP/DHzC
OA2btjDI5U5YizqLIzobWYZHdisYg3X0N1FKKnOo2QzjELuAVJwsOpbyQw==
-----END PUBLIC KEY-----
)";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view json(reinterpret_cast<const char*>(data), size);
  const auto statement = weft::ParseSignedStatement(json, "input");
  if (!statement.ok()) {
    WEFT_CHECK(!statement.status().message().empty());
    return 0;
  }
  WEFT_CHECK(statement->signatures.size() <= 64);
  const auto again = weft::ParseSignedStatement(weft::PrintSignedStatement(*statement), "printed");
  WEFT_CHECK(again.ok());
  WEFT_CHECK(again->payload_type == statement->payload_type &&
             again->payload == statement->payload);
  WEFT_CHECK(again->signatures.size() == statement->signatures.size());
  for (size_t i = 0; i < again->signatures.size(); ++i) {
    WEFT_CHECK(again->signatures[i].key_id == statement->signatures[i].key_id);
    WEFT_CHECK(again->signatures[i].bytes == statement->signatures[i].bytes);
  }
  const std::vector<std::string> keys = {kPublicKey};
  WEFT_CHECK(!weft::Verify(*statement, statement->payload_type, keys, 1).ok());
  return 0;
}
