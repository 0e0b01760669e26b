#include "proto/signed_statement.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/check.h"
#include "proto/digest.h"

namespace weft {
namespace {

using Json = nlohmann::json;
constexpr size_t kStatementBytesMax = 16 << 20;
constexpr size_t kSignaturesMax = 64;

template <auto Free>
struct Releaser {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Releaser<BIO_free_all>>;
using MdContext = std::unique_ptr<EVP_MD_CTX, Releaser<EVP_MD_CTX_free>>;

Bio Reading(absl::string_view pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

absl::StatusOr<Key> PublicKey(absl::string_view pem) {
  const Bio bio = Reading(pem);
  Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (!key)
    return absl::InvalidArgumentError("not a public key in PEM (-----BEGIN PUBLIC KEY-----)");
  return key;
}

absl::StatusOr<Key> PrivateKey(absl::string_view pem) {
  const Bio bio = Reading(pem);
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>("")));
  if (!key)
    return absl::InvalidArgumentError(
        "not an unencrypted private key in PEM (-----BEGIN PRIVATE KEY-----)");
  return key;
}

absl::StatusOr<std::string> IdOf(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(key, &der);
  if (length <= 0) return absl::InvalidArgumentError("a key that has no public form");
  const std::string id =
      ToHex(Sha256({reinterpret_cast<const char*>(der), static_cast<size_t>(length)}));
  OPENSSL_free(der);
  return id;
}

// Ed25519 hashes by itself; everything else is signed over SHA-256.
const EVP_MD* HashFor(EVP_PKEY* key) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
}

std::string PreAuthenticationEncoding(const SignedStatement& statement) {
  return absl::StrCat("DSSEv1 ", statement.payload_type.size(), " ", statement.payload_type, " ",
                      statement.payload.size(), " ", statement.payload);
}

bool SignatureHolds(EVP_PKEY* key, absl::string_view bytes, absl::string_view signature) {
  const MdContext context(EVP_MD_CTX_new());
  return EVP_DigestVerifyInit(context.get(), nullptr, HashFor(key), nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                          bytes.size()) == 1;
}

absl::Status Malformed(absl::string_view source, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(source, ": not a signed statement (a DSSE envelope in JSON): ", what));
}

}  // namespace

std::string PrintSignedStatement(const SignedStatement& statement) {
  Json signatures = Json::array();
  for (const Signature& signature : statement.signatures) {
    signatures.push_back(
        {{"keyid", signature.key_id}, {"sig", absl::Base64Escape(signature.bytes)}});
  }
  const Json json = {{"payloadType", statement.payload_type},
                     {"payload", absl::Base64Escape(statement.payload)},
                     {"signatures", std::move(signatures)}};
  return json.dump(2) + "\n";
}

absl::StatusOr<SignedStatement> ParseSignedStatement(absl::string_view text,
                                                     absl::string_view source) {
  if (text.size() > kStatementBytesMax) return Malformed(source, "longer than 16 MiB");
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Malformed(source, "no JSON object");
  const auto text_of = [](const Json& object, const char* field) -> const std::string* {
    const auto it = object.find(field);
    return it == object.end() ? nullptr : it->get_ptr<const std::string*>();
  };
  const std::string* type = text_of(json, "payloadType");
  const std::string* payload = text_of(json, "payload");
  const auto signatures = json.find("signatures");
  if (type == nullptr || payload == nullptr)
    return Malformed(source, "payloadType and payload must be strings");
  if (signatures == json.end() || !signatures->is_array() || signatures->size() > kSignaturesMax) {
    return Malformed(source, "signatures must be a list of at most 64");
  }
  SignedStatement statement{.payload_type = *type};
  if (!absl::Base64Unescape(*payload, &statement.payload))
    return Malformed(source, "payload is not base64");
  for (const Json& entry : *signatures) {
    const std::string* key_id = entry.is_object() ? text_of(entry, "keyid") : nullptr;
    const std::string* sig = entry.is_object() ? text_of(entry, "sig") : nullptr;
    Signature signature;
    if (key_id == nullptr || sig == nullptr || !absl::Base64Unescape(*sig, &signature.bytes)) {
      return Malformed(source, "each signature needs keyid and sig (base64)");
    }
    signature.key_id = *key_id;
    statement.signatures.push_back(std::move(signature));
  }
  return statement;
}

absl::Status Sign(absl::string_view private_key_pem, SignedStatement* statement) {
  absl::StatusOr<Key> key = PrivateKey(private_key_pem);
  if (!key.ok()) return key.status();
  absl::StatusOr<std::string> id = IdOf(key->get());
  if (!id.ok()) return id.status();
  const std::string bytes = PreAuthenticationEncoding(*statement);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const MdContext context(EVP_MD_CTX_new());
  size_t length = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, HashFor(key->get()), nullptr, key->get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &length, data, bytes.size()) != 1) {
    return absl::InvalidArgumentError(
        "this kind of key cannot sign statements: ECDSA P-256 or Ed25519 is needed");
  }
  std::string signature(length, '\0');
  WEFT_CHECK(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()),
                            &length, data, bytes.size()) == 1);
  signature.resize(length);
  statement->signatures.push_back({.key_id = *std::move(id), .bytes = std::move(signature)});
  return absl::OkStatus();
}

absl::Status Verify(const SignedStatement& statement, absl::string_view payload_type,
                    absl::Span<const std::string> public_keys_pem, int threshold) {
  if (statement.payload_type != payload_type) {
    return absl::PermissionDeniedError(absl::StrCat("a statement of type '", statement.payload_type,
                                                    "' where '", payload_type, "' is expected"));
  }
  if (threshold < 1)
    return absl::PermissionDeniedError("a threshold below one signature proves nothing");
  const std::string bytes = PreAuthenticationEncoding(statement);
  std::set<std::string> signers;  // by key id, so that a key listed or signing twice counts once
  for (const std::string& pem : public_keys_pem) {
    absl::StatusOr<Key> key = PublicKey(pem);
    if (!key.ok()) return key.status();
    absl::StatusOr<std::string> id = IdOf(key->get());
    if (!id.ok()) return id.status();
    for (const Signature& signature : statement.signatures) {
      if (signature.key_id == *id && SignatureHolds(key->get(), bytes, signature.bytes))
        signers.insert(*id);
    }
  }
  if (static_cast<int>(signers.size()) >= threshold) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(signers.size(), " valid signature(s) of the trusted keys, ", threshold,
                   " needed (", statement.signatures.size(), " in the statement, ",
                   public_keys_pem.size(), " trusted keys)"));
}

absl::StatusOr<std::string> KeyId(absl::string_view public_key_pem) {
  absl::StatusOr<Key> key = PublicKey(public_key_pem);
  if (!key.ok()) return key.status();
  return IdOf(key->get());
}

absl::StatusOr<std::string> PublicKeyOf(absl::string_view private_key_pem) {
  absl::StatusOr<Key> key = PrivateKey(private_key_pem);
  if (!key.ok()) return key.status();
  const Bio bio(BIO_new(BIO_s_mem()));
  WEFT_CHECK(PEM_write_bio_PUBKEY(bio.get(), key->get()) == 1);
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(length));
}

}  // namespace weft
