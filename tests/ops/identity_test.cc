#include "ops/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ops/certificate.h"
#include "proto/durable_file.h"
#include "proto/signed_statement.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kYear = absl::Hours(24 * 365);

class IdentityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MakeAuthority(Path("authority"), "Weft test authority", kYear).ok());
  }

  std::string Path(absl::string_view name) const { return folder_ / std::string(name); }
  // Makes a kit named `name` in Path(name), as the authority in Path(authority) issues it.
  absl::Status MakeKit(absl::string_view name, std::vector<std::string> hosts = {},
                       absl::Duration lifetime = kYear,
                       absl::string_view authority = "authority") const {
    if (absl::Status made = MakeRequest(Path(name), name); !made.ok()) return made;
    return IssueCertificate(Path(authority), absl::StrCat(Path(name), "/request.pem"), Path(name),
                            hosts, lifetime);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(IdentityTest, LoadsWhatWasIssued) {
  ASSERT_TRUE(MakeKit("north").ok());
  std::string warning;
  absl::StatusOr<Identity> identity = LoadIdentity(Path("north"), &warning);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->name, "north");
  EXPECT_THAT(warning, IsEmpty());
  EXPECT_EQ(identity->authorities.threshold(), 1u);
  EXPECT_EQ(*CertificateCommonName(identity->certificate_pem), "north");
  EXPECT_EQ(*CertificatePublicKey(identity->certificate_pem), *PublicKeyOf(identity->key_pem));
  EXPECT_EQ(*CertificatePublicKey(identity->authority_pem), identity->authorities.public_keys(0));
  struct stat facts;
  ASSERT_EQ(stat((Path("north") + "/key.pem").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST_F(IdentityTest, OnlyTheCoordinatorMayServe) {
  ASSERT_TRUE(MakeKit("coordinator", {"localhost", "127.0.0.1", "::1"}).ok());
  const std::string pem = *ReadWholeFile(Path("coordinator") + "/certificate.pem");
  EXPECT_THAT(ReadCertificate(pem)->hosts, ElementsAre("localhost", "127.0.0.1", "::1"));
  EXPECT_THAT(MakeKit("north", {"localhost"}).ToString(), HasSubstr("only the coordinator"));
  ASSERT_TRUE(MakeRequest(Path("other"), kCoordinatorName).ok());
  EXPECT_THAT(
      IssueCertificate(Path("authority"), Path("other") + "/request.pem", Path("other"), {}, kYear)
          .ToString(),
      HasSubstr("--host"));
}

TEST_F(IdentityTest, RefusesForeignAuthority) {
  ASSERT_TRUE(MakeAuthority(Path("foreign"), "Weft test authority", kYear).ok());
  ASSERT_TRUE(MakeKit("north", {}, kYear, "foreign").ok());
  std::filesystem::copy_file(Path("authority") + "/authority.pem", Path("north") + "/authority.pem",
                             std::filesystem::copy_options::overwrite_existing);
  const absl::Status refused = LoadIdentity(Path("north")).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(refused.ToString(), HasSubstr("not a certificate that"));
}

TEST_F(IdentityTest, RefusesKeyOfAnotherCertificate) {
  ASSERT_TRUE(MakeKit("north").ok());
  ASSERT_TRUE(MakeKit("south").ok());
  std::filesystem::copy_file(Path("south") + "/key.pem", Path("north") + "/key.pem",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(LoadIdentity(Path("north")).status().ToString(),
              HasSubstr("key.pem: the private key is not the one"));
}

TEST_F(IdentityTest, RefusesExpiredAndWarnsBefore) {
  ASSERT_TRUE(MakeKit("north", {}, absl::Seconds(2)).ok());
  std::string warning;
  absl::StatusOr<Identity> identity = LoadIdentity(Path("north"), &warning);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_THAT(warning, HasSubstr("expires in 0 days"));
  absl::SleepFor(identity->not_after - absl::Now() + absl::Milliseconds(50));
  const absl::Status expired = LoadIdentity(Path("north")).status();
  EXPECT_EQ(expired.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(expired.ToString(), HasSubstr("the certificate of 'north' expired on"));
}

TEST_F(IdentityTest, RefusesKeyThatOthersMayOpen) {
  ASSERT_TRUE(MakeKit("north").ok());
  ASSERT_EQ(chmod((Path("north") + "/key.pem").c_str(), 0644), 0);
  EXPECT_THAT(LoadIdentity(Path("north")).status().ToString(),
              HasSubstr("may be opened by others (mode 0644)"));
}

TEST_F(IdentityTest, NeverOverwritesAKey) {
  EXPECT_EQ(MakeAuthority(Path("authority"), "again", kYear).code(),
            absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(MakeKit("north").ok());
  EXPECT_EQ(MakeRequest(Path("north"), "north").code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(IdentityTest, CertificateEndsWithItsAuthority) {
  ASSERT_TRUE(MakeAuthority(Path("brief"), "brief", absl::Hours(1)).ok());
  ASSERT_TRUE(MakeKit("north", {}, kYear, "brief").ok());
  EXPECT_LE(LoadIdentity(Path("north"))->not_after, LoadIdentity(Path("brief"))->not_after);
}

TEST_F(IdentityTest, RefusesNamesThatAreNoSites) {
  for (const char* name : {"", "North", "a b", "-a", "a/b", "\xc3\xa9"}) {
    EXPECT_EQ(MakeRequest(Path("kit"), name).code(), absl::StatusCode::kInvalidArgument) << name;
  }
  // A request made by other means does not get around it.
  const std::string key = *NewPrivateKey();
  ASSERT_TRUE(WriteFileDurably(Path("request.pem"), *NewRequest(key, "Not A Site")).ok());
  EXPECT_THAT(
      IssueCertificate(Path("authority"), Path("request.pem"), Path("kit"), {}, kYear).ToString(),
      HasSubstr("cannot be a site's name"));
}

TEST_F(IdentityTest, RefusesARequestChangedOnItsWay) {
  const std::string key = *NewPrivateKey();
  std::string request = *NewRequest(key, "north");
  // Another key's signature under the same words: swap the body of the base64 near its end.
  const size_t at = request.size() - 60;
  request[at] = request[at] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(RequestCommonName(request).ok());
}

TEST_F(IdentityTest, BrokenFilesAreErrorsNotCrashes) {
  ASSERT_TRUE(MakeKit("north").ok());
  const std::string pem = *ReadWholeFile(Path("north") + "/certificate.pem");
  for (size_t length = 0; length < pem.size() - 30; length += 7) {
    EXPECT_FALSE(ReadCertificate(absl::string_view(pem).substr(0, length)).ok()) << length;
  }
  std::filesystem::remove(Path("north") + "/authorities.textproto");
  EXPECT_EQ(LoadIdentity(Path("north")).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace weft
