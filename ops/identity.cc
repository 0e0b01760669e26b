#include "ops/identity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "ops/certificate.h"
#include "ops/manifest.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"

namespace weft {
namespace {

constexpr uint64_t kPemBytesMax = uint64_t{1} << 20;
constexpr absl::Duration kWarnBefore = absl::Hours(24 * 30);

absl::Status In(const std::string& path, const absl::Status& status) {
  return status.ok() ? status
                     : absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

// A key is made once and never overwritten, and nobody but its owner may ever open it: hence not
// WriteFileDurably.
absl::Status WriteNewKey(const std::string& path, absl::string_view pem) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) {
    return absl::AlreadyExistsError(absl::StrCat(
        path, " is there already, and a key is never overwritten: choose another folder"));
  }
  if (fd < 0) return ErrnoStatus("making a private key", path);
  const ssize_t written = write(fd, pem.data(), pem.size());
  const bool synced = fsync(fd) == 0;
  close(fd);
  if (written != static_cast<ssize_t>(pem.size()) || !synced) {
    unlink(path.c_str());
    return ErrnoStatus("writing a private key", path);
  }
  return absl::OkStatus();
}

absl::Status CheckOwnerOnly(const std::string& path) {
  struct stat facts;
  if (stat(path.c_str(), &facts) != 0) return ErrnoStatus("opening a private key", path);
  if ((facts.st_mode & 077) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrFormat(
      "%s may be opened by others (mode %04o): chmod 600 %s", path, facts.st_mode & 07777, path));
}

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  return ReadWholeFile(path, kPemBytesMax);
}

absl::StatusOr<Identity> ReadKit(const std::string& folder) {
  Identity identity;
  if (absl::Status safe = CheckOwnerOnly(absl::StrCat(folder, "/key.pem")); !safe.ok()) return safe;
  const std::pair<const char*, std::string*> files[] = {
      {"key.pem", &identity.key_pem},
      {"certificate.pem", &identity.certificate_pem},
      {"authority.pem", &identity.authority_pem}};
  for (const auto& [name, content] : files) {
    absl::StatusOr<std::string> pem = ReadPem(absl::StrCat(folder, "/", name));
    if (!pem.ok()) return pem.status();
    *content = *std::move(pem);
  }
  absl::Status read =
      ReadTextProto(absl::StrCat(folder, "/authorities.textproto"), &identity.authorities);
  if (!read.ok()) return read;
  return identity;
}

std::string ExpiryWarning(const Identity& identity) {
  const absl::Duration left = identity.not_after - absl::Now();
  if (left >= kWarnBefore) return "";
  return absl::StrFormat(
      "the certificate of '%s' expires in %d days, on %s: ask the authority for a new one "
      "(weft-ops keys issue)",
      identity.name, absl::ToInt64Hours(left) / 24,
      absl::FormatTime("%Y-%m-%d %H:%M UTC", identity.not_after, absl::UTCTimeZone()));
}

}  // namespace

absl::StatusOr<Identity> LoadIdentity(const std::string& kit_folder, std::string* warning) {
  absl::StatusOr<Identity> identity = ReadKit(kit_folder);
  if (!identity.ok()) return identity.status();
  const std::string path = absl::StrCat(kit_folder, "/certificate.pem");
  absl::StatusOr<CertificateFacts> facts = ReadCertificate(identity->certificate_pem);
  if (!facts.ok()) return In(path, facts.status());
  const absl::Status key = CheckKeyMatches(identity->certificate_pem, identity->key_pem);
  if (!key.ok()) return In(absl::StrCat(kit_folder, "/key.pem"), key);
  if (facts->not_after <= absl::Now()) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": the certificate of '", facts->common_name, "' expired on ",
                     absl::FormatTime("%Y-%m-%d %H:%M UTC", facts->not_after, absl::UTCTimeZone()),
                     ": ask the authority for a new one (weft-ops keys issue)"));
  }
  if (absl::Status issued = CheckIssuedBy(identity->certificate_pem, identity->authority_pem);
      !issued.ok()) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": not a certificate that ", kit_folder,
                     "/authority.pem signed and that is in force: ", issued.message()));
  }
  if (absl::Status checked = CheckAuthorities(identity->authorities); !checked.ok()) {
    return In(absl::StrCat(kit_folder, "/authorities.textproto"), checked);
  }
  identity->name = facts->common_name;
  identity->not_after = facts->not_after;
  if (warning != nullptr) *warning = ExpiryWarning(*identity);
  return identity;
}

absl::Status MakeAuthority(const std::string& folder, absl::string_view common_name,
                           absl::Duration lifetime) {
  absl::StatusOr<std::string> key = NewPrivateKey();
  if (!key.ok()) return key.status();
  absl::StatusOr<std::string> certificate = NewAuthorityCertificate(*key, common_name, lifetime);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<std::string> public_key = CertificatePublicKey(*certificate);
  if (!public_key.ok()) return public_key.status();
  Authorities authorities;
  authorities.set_threshold(1);
  authorities.add_public_keys(*public_key);

  if (absl::Status made = MakeDirectories(folder); !made.ok()) return made;
  if (absl::Status written = WriteNewKey(folder + "/key.pem", *key); !written.ok()) return written;
  for (const char* name : {"/certificate.pem", "/authority.pem"}) {
    absl::Status written = WriteFileDurably(folder + name, *certificate);
    if (!written.ok()) return written;
  }
  return WriteTextProto(folder + "/authorities.textproto", authorities);
}

absl::Status MakeRequest(const std::string& kit_folder, absl::string_view name) {
  if (!IsName(name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", name, "' cannot be a site's name: 1 to 64 of a-z, 0-9 and '-' are allowed"));
  }
  absl::StatusOr<std::string> key = NewPrivateKey();
  if (!key.ok()) return key.status();
  absl::StatusOr<std::string> request = NewRequest(*key, name);
  if (!request.ok()) return request.status();
  if (absl::Status made = MakeDirectories(kit_folder); !made.ok()) return made;
  absl::Status written = WriteNewKey(kit_folder + "/key.pem", *key);
  if (!written.ok()) return written;
  return WriteFileDurably(kit_folder + "/request.pem", *request);
}

absl::Status IssueCertificate(const std::string& authority_folder, const std::string& request_path,
                              const std::string& kit_folder, const std::vector<std::string>& hosts,
                              absl::Duration lifetime) {
  absl::StatusOr<Identity> authority = LoadIdentity(authority_folder);
  if (!authority.ok()) return authority.status();
  absl::StatusOr<std::string> request = ReadPem(request_path);
  if (!request.ok()) return request.status();
  absl::StatusOr<std::string> name = RequestCommonName(*request);
  if (!name.ok()) return In(request_path, name.status());
  if (!IsName(*name)) {
    return absl::InvalidArgumentError(
        absl::StrCat(request_path, ": '", *name,
                     "' cannot be a site's name: 1 to 64 of a-z, 0-9 and '-' are allowed"));
  }
  if ((*name == kCoordinatorName) == hosts.empty()) {
    return absl::InvalidArgumentError(
        hosts.empty()
            ? "a coordinator's certificate needs the names and addresses that sites reach "
              "it by: --host NAME"
            : absl::StrCat("'", *name, "' is a site: only the coordinator has hosts"));
  }
  absl::StatusOr<std::string> certificate = SignRequest(
      *request, {.certificate_pem = authority->authority_pem, .key_pem = authority->key_pem}, hosts,
      lifetime);
  if (!certificate.ok()) return In(request_path, certificate.status());
  if (absl::Status made = MakeDirectories(kit_folder); !made.ok()) return made;
  absl::Status written = WriteFileDurably(kit_folder + "/authority.pem", authority->authority_pem);
  if (!written.ok()) return written;
  written = WriteTextProto(kit_folder + "/authorities.textproto", authority->authorities);
  if (!written.ok()) return written;
  return WriteFileDurably(kit_folder + "/certificate.pem", *certificate);
}

absl::Status CheckAuthorities(const Authorities& authorities) {
  const int count = authorities.public_keys_size();
  if (count < 1 || count > kAuthorityKeysMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(count, " authority keys; 1 to ", kAuthorityKeysMax, " are allowed"));
  }
  if (authorities.threshold() < 1 || authorities.threshold() > static_cast<uint32_t>(count)) {
    return absl::InvalidArgumentError(absl::StrCat("threshold is ", authorities.threshold(),
                                                   "; 1 to the number of keys, ", count,
                                                   ", are allowed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> CertificateCommonName(absl::string_view certificate_pem) {
  absl::StatusOr<CertificateFacts> facts = ReadCertificate(certificate_pem);
  if (!facts.ok()) return facts.status();
  return facts->common_name;
}

absl::StatusOr<std::string> CertificatePublicKey(absl::string_view certificate_pem) {
  absl::StatusOr<CertificateFacts> facts = ReadCertificate(certificate_pem);
  if (!facts.ok()) return facts.status();
  return facts->public_key_pem;
}

}  // namespace weft
