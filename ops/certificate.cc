#include "ops/certificate.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

namespace weft {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Freed<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, Freed<X509_REQ_free>>;
using BioPtr = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>>;

// Certificates made a moment ago must hold on machines whose clock is a little behind.
constexpr absl::Duration kClockSkew = absl::Minutes(5);
constexpr size_t kCommonNameMax = 64;  // RFC 5280, ub-common-name

// What OpenSSL says about its last failure; its queue is emptied.
std::string OpenSslReason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : absl::StrCat("OpenSSL error ", code);
}

absl::Status Failed(absl::string_view what) {
  return absl::InternalError(absl::StrCat(what, ": ", OpenSslReason()));
}

BioPtr ReadOnly(absl::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string Contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

// An empty passphrase callback: without it OpenSSL would ask on the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

absl::StatusOr<KeyPtr> ParseKey(absl::string_view pem) {
  const BioPtr bio = ReadOnly(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassphrase, nullptr));
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a private key in PEM (PKCS#8, without passphrase): ", OpenSslReason()));
  }
  return key;
}

absl::StatusOr<CertificatePtr> ParseCertificate(absl::string_view pem) {
  const BioPtr bio = ReadOnly(pem);
  CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, &NoPassphrase, nullptr));
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("not a certificate in PEM: ", OpenSslReason()));
  }
  return certificate;
}

absl::StatusOr<RequestPtr> ParseRequest(absl::string_view pem) {
  const BioPtr bio = ReadOnly(pem);
  RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, &NoPassphrase, nullptr));
  if (request == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a certificate request in PEM: ", OpenSslReason()));
  }
  if (X509_REQ_verify(request.get(), X509_REQ_get0_pubkey(request.get())) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        "the certificate request is not signed with the key it asks for; make it anew with "
        "`weft-ops keys request`");
  }
  return request;
}

absl::StatusOr<std::string> PrintCertificate(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) return Failed("writing a certificate");
  return Contents(bio.get());
}

absl::StatusOr<std::string> CommonName(const X509_NAME* name, absl::string_view of) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0) {
    return absl::InvalidArgumentError(absl::StrCat(of, " must have exactly one common name"));
  }
  unsigned char* utf8 = nullptr;
  const int length =
      ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (length < 0) return absl::InvalidArgumentError(absl::StrCat(of, ": unreadable common name"));
  std::string text(reinterpret_cast<char*>(utf8), static_cast<size_t>(length));
  OPENSSL_free(utf8);
  return text;
}

absl::Status SetCommonName(X509_NAME* name, absl::string_view common_name) {
  if (common_name.empty() || common_name.size() > kCommonNameMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the name has ", common_name.size(), " bytes; 1 to ", kCommonNameMax, " are allowed"));
  }
  if (X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", common_name, "' cannot be a common name: ", OpenSslReason()));
  }
  return absl::OkStatus();
}

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return Failed(absl::StrCat("certificate extension '", OBJ_nid2sn(nid), "' = '", value, "'"));
  }
  return absl::OkStatus();
}

absl::Status AddExtensions(X509* certificate, X509* issuer,
                           const std::vector<std::pair<int, std::string>>& extensions) {
  for (const auto& [nid, value] : extensions) {
    if (absl::Status added = AddExtension(certificate, issuer, nid, value); !added.ok()) {
      return added;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate's validity is unreadable");
  }
  return absl::FromTimeT(timegm(&parts));
}

// A version 3 certificate with a random serial number of 127 bits, valid from a little before now.
absl::StatusOr<CertificatePtr> Blank(EVP_PKEY* key, absl::Time not_after) {
  CertificatePtr certificate(X509_new());
  unsigned char serial[16];
  if (certificate == nullptr || RAND_bytes(serial, sizeof serial) != 1) {
    return Failed("a new certificate");
  }
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);  // positive, and never short
  using BignumPtr = std::unique_ptr<BIGNUM, Freed<BN_free>>;
  const BignumPtr number(BN_bin2bn(serial, sizeof serial, nullptr));
  if (BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) == nullptr ||
      X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(certificate.get(), key) != 1 ||
      ASN1_TIME_set(X509_getm_notBefore(certificate.get()),
                    absl::ToTimeT(absl::Now() - kClockSkew)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(not_after)) == nullptr) {
    return Failed("a new certificate");
  }
  return certificate;
}

absl::Status CheckLifetime(absl::Duration lifetime) {
  if (lifetime > absl::ZeroDuration() && lifetime <= absl::Hours(24 * 36525)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("a lifetime of ", absl::FormatDuration(lifetime),
                                                 " is not allowed: 1 second to 100 years are"));
}

absl::StatusOr<std::string> SubjectAlternativeNames(const std::vector<std::string>& hosts) {
  std::vector<std::string> names;
  for (const std::string& host : hosts) {
    unsigned char address[16];
    if (inet_pton(AF_INET, host.c_str(), address) == 1 ||
        inet_pton(AF_INET6, host.c_str(), address) == 1) {
      names.push_back(absl::StrCat("IP:", host));
    } else if (!host.empty() && host.size() <= 253 &&
               host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789.-*") == std::string::npos) {
      names.push_back(absl::StrCat("DNS:", host));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("'", host, "' is neither a DNS name nor an IP address"));
    }
  }
  return absl::StrJoin(names, ",");
}

std::vector<std::string> Hosts(const X509* certificate) {
  using NamesPtr = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> hosts;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    const ASN1_STRING* bytes = nullptr;
    char text[INET6_ADDRSTRLEN];
    if (name->type == GEN_DNS) {
      bytes = name->d.dNSName;
      hosts.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(bytes)),
                         static_cast<size_t>(ASN1_STRING_length(bytes)));
    } else if (name->type == GEN_IPADD) {
      bytes = name->d.iPAddress;
      const int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;
      if (family == AF_INET6 && ASN1_STRING_length(bytes) != 16) continue;
      if (inet_ntop(family, ASN1_STRING_get0_data(bytes), text, sizeof text)) hosts.push_back(text);
    }
  }
  return hosts;
}

}  // namespace

absl::StatusOr<std::string> NewPrivateKey() {
  const KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (key == nullptr || PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0,
                                                      nullptr, nullptr) != 1) {
    return Failed("making a private key");
  }
  return Contents(bio.get());
}

absl::StatusOr<std::string> NewAuthorityCertificate(absl::string_view key_pem,
                                                    absl::string_view common_name,
                                                    absl::Duration lifetime) {
  absl::StatusOr<KeyPtr> key = ParseKey(key_pem);
  if (!key.ok()) return key.status();
  if (absl::Status allowed = CheckLifetime(lifetime); !allowed.ok()) return allowed;
  absl::StatusOr<CertificatePtr> blank = Blank(key->get(), absl::Now() + lifetime);
  if (!blank.ok()) return blank.status();
  X509* certificate = blank->get();
  absl::Status named = SetCommonName(X509_get_subject_name(certificate), common_name);
  if (!named.ok()) return named;
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  absl::Status extended = AddExtensions(certificate, certificate,
                                        {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                         {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                         {NID_subject_key_identifier, "hash"}});
  if (!extended.ok()) return extended;
  if (X509_sign(certificate, key->get(), EVP_sha256()) == 0) return Failed("signing a certificate");
  return PrintCertificate(certificate);
}

absl::StatusOr<std::string> NewRequest(absl::string_view key_pem, absl::string_view common_name) {
  absl::StatusOr<KeyPtr> key = ParseKey(key_pem);
  if (!key.ok()) return key.status();
  const RequestPtr request(X509_REQ_new());
  absl::Status named = SetCommonName(X509_REQ_get_subject_name(request.get()), common_name);
  if (!named.ok()) return named;
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key->get()) != 1 ||
      X509_REQ_sign(request.get(), key->get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return Failed("making a certificate request");
  }
  return Contents(bio.get());
}

absl::StatusOr<std::string> RequestCommonName(absl::string_view request_pem) {
  absl::StatusOr<RequestPtr> request = ParseRequest(request_pem);
  if (!request.ok()) return request.status();
  return CommonName(X509_REQ_get_subject_name(request->get()), "the certificate request");
}

absl::StatusOr<std::string> SignRequest(absl::string_view request_pem,
                                        const SigningAuthority& authority,
                                        const std::vector<std::string>& hosts,
                                        absl::Duration lifetime) {
  absl::StatusOr<RequestPtr> request = ParseRequest(request_pem);
  if (!request.ok()) return request.status();
  absl::StatusOr<std::string> name = RequestCommonName(request_pem);
  if (!name.ok()) return name.status();
  absl::StatusOr<CertificatePtr> issuer = ParseCertificate(authority.certificate_pem);
  if (!issuer.ok()) return issuer.status();
  absl::StatusOr<KeyPtr> issuer_key = ParseKey(authority.key_pem);
  if (!issuer_key.ok()) return issuer_key.status();
  if (absl::Status allowed = CheckLifetime(lifetime); !allowed.ok()) return allowed;
  absl::StatusOr<absl::Time> authority_end = ToTime(X509_get0_notAfter(issuer->get()));
  if (!authority_end.ok()) return authority_end.status();
  absl::StatusOr<std::string> alternative_names = SubjectAlternativeNames(hosts);
  if (!alternative_names.ok()) return alternative_names.status();

  absl::StatusOr<CertificatePtr> blank =
      Blank(X509_REQ_get0_pubkey(request->get()), std::min(absl::Now() + lifetime, *authority_end));
  if (!blank.ok()) return blank.status();
  X509* certificate = blank->get();
  // Only the name is taken from the request: what it asks for beside that is not the site's to
  // decide.
  absl::Status named = SetCommonName(X509_get_subject_name(certificate), *name);
  if (!named.ok()) return named;
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer->get()));
  std::vector<std::pair<int, std::string>> extensions = {
      {NID_basic_constraints, "critical,CA:FALSE"},
      {NID_key_usage, "critical,digitalSignature"},
      {NID_ext_key_usage, hosts.empty() ? "clientAuth" : "serverAuth,clientAuth"},
      {NID_subject_key_identifier, "hash"},
      {NID_authority_key_identifier, "keyid:always"}};
  if (!hosts.empty()) extensions.emplace_back(NID_subject_alt_name, *alternative_names);
  absl::Status extended = AddExtensions(certificate, issuer->get(), extensions);
  if (!extended.ok()) return extended;
  if (X509_sign(certificate, issuer_key->get(), EVP_sha256()) == 0) {
    return Failed("signing a certificate");
  }
  return PrintCertificate(certificate);
}

absl::StatusOr<CertificateFacts> ReadCertificate(absl::string_view certificate_pem) {
  absl::StatusOr<CertificatePtr> certificate = ParseCertificate(certificate_pem);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<std::string> name =
      CommonName(X509_get_subject_name(certificate->get()), "the certificate");
  if (!name.ok()) return name.status();
  absl::StatusOr<absl::Time> not_before = ToTime(X509_get0_notBefore(certificate->get()));
  if (!not_before.ok()) return not_before.status();
  absl::StatusOr<absl::Time> not_after = ToTime(X509_get0_notAfter(certificate->get()));
  if (!not_after.ok()) return not_after.status();
  EVP_PKEY* key = X509_get0_pubkey(certificate->get());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (key == nullptr || PEM_write_bio_PUBKEY(bio.get(), key) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate's key cannot be read: ", OpenSslReason()));
  }
  return CertificateFacts{.common_name = *name,
                          .public_key_pem = Contents(bio.get()),
                          .not_before = *not_before,
                          .not_after = *not_after,
                          .is_authority = X509_check_ca(certificate->get()) == 1,
                          .hosts = Hosts(certificate->get())};
}

absl::Status CheckIssuedBy(absl::string_view certificate_pem, absl::string_view authority_pem) {
  absl::StatusOr<CertificatePtr> certificate = ParseCertificate(certificate_pem);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<CertificatePtr> authority = ParseCertificate(authority_pem);
  if (!authority.ok()) return authority.status();
  const StorePtr store(X509_STORE_new());
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (X509_STORE_add_cert(store.get(), authority->get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate->get(), nullptr) != 1) {
    return Failed("checking a certificate");
  }
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  return absl::PermissionDeniedError(X509_verify_cert_error_string(error));
}

absl::Status CheckKeyMatches(absl::string_view certificate_pem, absl::string_view key_pem) {
  absl::StatusOr<CertificatePtr> certificate = ParseCertificate(certificate_pem);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<KeyPtr> key = ParseKey(key_pem);
  if (!key.ok()) return key.status();
  if (X509_check_private_key(certificate->get(), key->get()) == 1) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError("the private key is not the one that the certificate is for");
}

}  // namespace weft
