#include "proto/digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/durable_file.h"

namespace weft {

struct Sha256Hasher::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256Hasher::Sha256Hasher() : context_(std::make_unique<Context>()) {
  WEFT_CHECK(EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) == 1);
}
Sha256Hasher::~Sha256Hasher() = default;
Sha256Hasher::Sha256Hasher(Sha256Hasher&&) noexcept = default;
Sha256Hasher& Sha256Hasher::operator=(Sha256Hasher&&) noexcept = default;

void Sha256Hasher::Update(absl::string_view bytes) {
  WEFT_CHECK(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1);
}

Digest Sha256Hasher::Finish() {
  Digest digest;
  unsigned int length = 0;
  WEFT_CHECK(EVP_DigestFinal_ex(context_->md, digest.data(), &length) == 1 &&
             length == digest.size());
  WEFT_CHECK(EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) == 1);
  return digest;
}

Digest Sha256(absl::string_view bytes) {
  Sha256Hasher hasher;
  hasher.Update(bytes);
  return hasher.Finish();
}

std::string ToBytes(const Digest& digest) { return std::string(digest.begin(), digest.end()); }

absl::StatusOr<Digest> DigestFromBytes(absl::string_view bytes) {
  Digest digest;
  if (bytes.size() != digest.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a digest of ", bytes.size(), " bytes; SHA-256 has 32"));
  }
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

std::string ToHex(const Digest& digest) { return absl::BytesToHexString(ToBytes(digest)); }

absl::StatusOr<Digest> DigestFromHex(absl::string_view hex) {
  for (const char c : hex) {
    if (!absl::ascii_isdigit(c) && !(c >= 'a' && c <= 'f')) {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", hex.substr(0, 80), "' is not a digest: 64 hexadecimal digits, lower case"));
    }
  }
  if (hex.size() != 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("a digest of ", hex.size(), " digits; 64 are needed"));
  }
  return DigestFromBytes(absl::HexStringToBytes(hex));
}

absl::StatusOr<Digest> Sha256OfFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  Sha256Hasher hasher;
  std::vector<char> buffer(1 << 18);
  while (true) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const absl::Status status = ErrnoStatus("cannot read", path);
      close(fd);
      return status;
    }
    if (got == 0) break;
    hasher.Update({buffer.data(), static_cast<size_t>(got)});
  }
  close(fd);
  return hasher.Finish();
}

}  // namespace weft
