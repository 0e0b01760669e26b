#include "proto/signed_statement.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "gtest/gtest.h"

namespace weft {
namespace {

struct KeyPair {
  std::string private_pem;
  std::string public_pem;
};

KeyPair NewKey(const char* kind) {
  EVP_PKEY* key =
      std::string(kind) == "EC" ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(nullptr, nullptr, kind);
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  KeyPair pair{.private_pem = std::string(data, static_cast<size_t>(length))};
  BIO_free_all(bio);
  EVP_PKEY_free(key);
  pair.public_pem = *PublicKeyOf(pair.private_pem);
  return pair;
}

SignedStatement Statement() {
  return {.payload_type = std::string(kManifestType), .payload = "run_id: \"demo\"\n"};
}

TEST(SignedStatement, RoundTripsThroughJsonAndVerifies) {
  for (const char* kind : {"EC", "ED25519"}) {
    const KeyPair key = NewKey(kind);
    SignedStatement statement = Statement();
    ASSERT_TRUE(Sign(key.private_pem, &statement).ok());
    const SignedStatement read = *ParseSignedStatement(PrintSignedStatement(statement), "test");
    EXPECT_EQ(read.payload, statement.payload);
    EXPECT_EQ(read.signatures[0].key_id, *KeyId(key.public_pem));
    EXPECT_TRUE(Verify(read, kManifestType, {key.public_pem}, 1).ok()) << kind;
  }
}

TEST(SignedStatement, RefusesAnotherTypePayloadOrKey) {
  const KeyPair key = NewKey("EC"), other = NewKey("EC");
  SignedStatement statement = Statement();
  ASSERT_TRUE(Sign(key.private_pem, &statement).ok());
  EXPECT_FALSE(Verify(statement, kMembershipType, {key.public_pem}, 1).ok());
  EXPECT_FALSE(Verify(statement, kManifestType, {other.public_pem}, 1).ok());
  SignedStatement changed = statement;
  changed.payload += " ";
  EXPECT_FALSE(Verify(changed, kManifestType, {key.public_pem}, 1).ok());
  changed = statement;
  changed.signatures[0].key_id = *KeyId(other.public_pem);
  EXPECT_FALSE(Verify(changed, kManifestType, {other.public_pem}, 1).ok());
}

TEST(SignedStatement, CountsDifferentKeysAgainstTheThreshold) {
  const KeyPair a = NewKey("EC"), b = NewKey("ED25519"), c = NewKey("EC");
  SignedStatement statement = Statement();
  ASSERT_TRUE(Sign(a.private_pem, &statement).ok());
  ASSERT_TRUE(Sign(a.private_pem, &statement).ok());
  const std::vector<std::string> trusted = {a.public_pem, a.public_pem, b.public_pem, c.public_pem};
  EXPECT_FALSE(Verify(statement, kManifestType, trusted, 2).ok()) << "one key, twice, is one";
  ASSERT_TRUE(Sign(b.private_pem, &statement).ok());
  EXPECT_TRUE(Verify(statement, kManifestType, trusted, 2).ok());
  EXPECT_FALSE(Verify(statement, kManifestType, trusted, 3).ok());
  EXPECT_FALSE(Verify(statement, kManifestType, trusted, 0).ok());
}

// The test vector at the end of DSSE's protocol.md: payload "hello world", its P-256 key and its
// signature (there as r | s, here in DER), which `openssl dgst -verify` accepts over the
// pre-authentication encoding.
TEST(SignedStatement, VerifiesTheTestVectorOfTheSpecification) {
  const std::string public_key =
      "-----BEGIN PUBLIC KEY-----\n"
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZ805D3eqNZywjCI19lInBJOp7YMr\n"
      "CrzAH3CVTAOQ0jgMeCvVTiaRJaRPRDOv8UMs6U4SvKc6pnrIDOoSYI3fdA==\n"
      "-----END PUBLIC KEY-----\n";
  const std::string envelope =
      R"({"payloadType": "http://example.com/HelloWorld", "payload": "aGVsbG8gd29ybGQ=", "signatures": [{)"
      R"("keyid": "f793580060562d6ff075d814ea698c282fcc779b0cde64d79ffc6301df00d14b", "sig": )"
      R"("MEQCIANyarEBrVbCdjtsaqyOSHJ14qeRk6CdxfhZ2fjvPEo7AiBR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]})";
  const SignedStatement statement = *ParseSignedStatement(envelope, "vector");
  EXPECT_EQ(statement.payload, "hello world");
  EXPECT_TRUE(Verify(statement, "http://example.com/HelloWorld", {public_key}, 1).ok());
}

TEST(SignedStatement, RefusesHostileJson) {
  for (const char* text :
       {"", "[]", "{}", "{\"payloadType\":1,\"payload\":\"\",\"signatures\":[]}",
        "{\"payloadType\":\"t\",\"payload\":\"%\",\"signatures\":[]}",
        "{\"payloadType\":\"t\",\"payload\":\"\",\"signatures\":[1]}",
        "{\"payloadType\":\"t\",\"payload\":\"\",\"signatures\":[{\"keyid\":\"k\",\"sig\":\"!\"}]}",
        "{\"payloadType\":\"t\",\"payload\":\"\"}", "\xff\xfe"}) {
    EXPECT_FALSE(ParseSignedStatement(text, "hostile").ok()) << text;
  }
}

}  // namespace
}  // namespace weft
