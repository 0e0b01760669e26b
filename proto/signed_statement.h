// Bytes signed as data, so that they can be checked long after the connection that brought them: a
// DSSE envelope (https://github.com/secure-systems-lab/dsse, protocol.md v1.0.2) stored as JSON,
// with k of n keys.
//
//   {"payloadType": "application/vnd.weft.run-manifest+textproto", "payload": base64, "signatures":
//   [{"keyid", "sig"}]}
//
// Signed is PAE = "DSSEv1 " len(type) " " type " " len(payload) " " payload. Keys are ECDSA P-256
// with SHA-256 or Ed25519. keyid is the SHA-256 (hex) of the DER SubjectPublicKeyInfo: a hint, as
// DSSE says; every key is tried against the signature that names it only.
#ifndef WEFT_PROTO_SIGNED_STATEMENT_H_
#define WEFT_PROTO_SIGNED_STATEMENT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace weft {

inline constexpr absl::string_view kManifestType = "application/vnd.weft.run-manifest+textproto";
inline constexpr absl::string_view kMembershipType = "application/vnd.weft.membership+textproto";
inline constexpr absl::string_view kContributionType = "application/vnd.weft.contribution+protobuf";

struct Signature {
  std::string key_id;  // hex
  std::string bytes;   // raw: DER ECDSA-Sig-Value, or 64 bytes of Ed25519
};

struct SignedStatement {
  std::string payload_type;
  std::string payload;
  std::vector<Signature> signatures;
};

std::string PrintSignedStatement(const SignedStatement& statement);
// InvalidArgument with what is wrong; at most 16 MiB, at most 64 signatures.
absl::StatusOr<SignedStatement> ParseSignedStatement(absl::string_view json,
                                                     absl::string_view source);

// Adds one signature by a private key in PEM (PKCS#8).
absl::Status Sign(absl::string_view private_key_pem, SignedStatement* statement);
// PermissionDenied unless at least `threshold` different keys of `public_keys_pem` signed a payload
// of this type.
absl::Status Verify(const SignedStatement& statement, absl::string_view payload_type,
                    absl::Span<const std::string> public_keys_pem, int threshold);

// SHA-256 (hex) of the key's DER SubjectPublicKeyInfo.
absl::StatusOr<std::string> KeyId(absl::string_view public_key_pem);
// The public half of a private key, PEM.
absl::StatusOr<std::string> PublicKeyOf(absl::string_view private_key_pem);

}  // namespace weft

#endif  // WEFT_PROTO_SIGNED_STATEMENT_H_
