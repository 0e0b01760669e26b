// X.509 certificates and their keys, as text in PEM: what identity kits are made of. ECDSA P-256
// with SHA-256 by OpenSSL 3's EVP; profile after RFC 5280. Names live in the common name and, for
// whoever is reached over the network, in subject alternative names.
//
//   std::string key = *NewPrivateKey();
//   std::string request = *NewRequest(key, "north");
//   std::string certificate = *SignRequest(request, {.certificate_pem = ca, .key_pem = ca_key}, {},
//   absl::Hours(24 * 90));
//
// Thread-safe: all functions are pure but for randomness and, where times are set or checked, the
// clock.
#ifndef WEFT_OPS_CERTIFICATE_H_
#define WEFT_OPS_CERTIFICATE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace weft {

struct SigningAuthority {
  std::string certificate_pem;
  std::string key_pem;
};

struct CertificateFacts {
  std::string common_name;
  std::string public_key_pem;  // SubjectPublicKeyInfo
  absl::Time not_before;
  absl::Time not_after;
  bool is_authority = false;
  std::vector<std::string> hosts;  // subject alternative names: DNS names and IP addresses
};

absl::StatusOr<std::string> NewPrivateKey();  // PKCS#8
absl::StatusOr<std::string> NewAuthorityCertificate(absl::string_view key_pem,
                                                    absl::string_view common_name,
                                                    absl::Duration lifetime);
// A PKCS#10 request: a name and a public key, signed with the private key that stays behind.
absl::StatusOr<std::string> NewRequest(absl::string_view key_pem, absl::string_view common_name);
absl::StatusOr<std::string> RequestCommonName(absl::string_view request_pem);

// A certificate for the request's name and key. With `hosts` it may serve TLS under them; without,
// it is a client's only, so that no site can pose as the coordinator. It ends with the authority's
// own at the latest.
absl::StatusOr<std::string> SignRequest(absl::string_view request_pem,
                                        const SigningAuthority& authority,
                                        const std::vector<std::string>& hosts,
                                        absl::Duration lifetime);

absl::StatusOr<CertificateFacts> ReadCertificate(absl::string_view certificate_pem);

// PermissionDenied, saying which, unless the authority signed the certificate and both are in force
// now.
absl::Status CheckIssuedBy(absl::string_view certificate_pem, absl::string_view authority_pem);
// InvalidArgument unless the private key is the one that the certificate is for.
absl::Status CheckKeyMatches(absl::string_view certificate_pem, absl::string_view key_pem);

}  // namespace weft

#endif  // WEFT_OPS_CERTIFICATE_H_
