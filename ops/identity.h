// Identity kits: who a process is, and whom it trusts. Keys are ECDSA P-256; certificates X.509 v3,
// by OpenSSL.
//
//   KIT/certificate.pem     signed by the run authority; common name = the site's name, or
//   "coordinator" KIT/key.pem             PKCS#8, mode 0600, made where it is used
//   KIT/authority.pem       the run authority's certificate: the only root that is trusted
//   KIT/authorities.textproto   whose signatures make manifests and memberships valid (k of n)
//
// The authority's own folder holds the same names (certificate.pem = authority.pem) and may stay
// offline: a site sends request.pem (a CSR) there, and gets certificate.pem back.
#ifndef WEFT_OPS_IDENTITY_H_
#define WEFT_OPS_IDENTITY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proto/run_manifest.pb.h"

namespace weft {

inline constexpr absl::string_view kCoordinatorName = "coordinator";
inline constexpr int kAuthorityKeysMax = 64;

struct Identity {
  std::string name;  // the certificate's common name
  std::string certificate_pem;
  std::string key_pem;
  std::string authority_pem;
  Authorities authorities;
  absl::Time not_after;
};

// Reads and checks a kit: key and certificate belong together, the certificate is the authority's,
// and it is in force. `warning`, if not null, is set when it expires within 30 days.
absl::StatusOr<Identity> LoadIdentity(const std::string& kit_folder,
                                      std::string* warning = nullptr);

// Makes an authority: a key, a self-signed CA certificate, authorities.textproto with threshold 1
// and its own key.
absl::Status MakeAuthority(const std::string& folder, absl::string_view common_name,
                           absl::Duration lifetime);
// At the site: KIT/key.pem and KIT/request.pem.
absl::Status MakeRequest(const std::string& kit_folder, absl::string_view name);
// At the authority: signs a CSR into a kit folder's certificate.pem, authority.pem and
// authorities.textproto. `hosts` (DNS names or IP addresses) become subject alternative names: a
// coordinator needs those it is reached by.
absl::Status IssueCertificate(const std::string& authority_folder, const std::string& request_path,
                              const std::string& kit_folder, const std::vector<std::string>& hosts,
                              absl::Duration lifetime);

// InvalidArgument unless 1 <= threshold <= number of keys.
absl::Status CheckAuthorities(const Authorities& authorities);

// Of a certificate in PEM.
absl::StatusOr<std::string> CertificateCommonName(absl::string_view certificate_pem);
absl::StatusOr<std::string> CertificatePublicKey(absl::string_view certificate_pem);  // PEM

}  // namespace weft

#endif  // WEFT_OPS_IDENTITY_H_
