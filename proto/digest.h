// SHA-256 as a value, and hashing of bytes while they pass.
//
//   Digest d = Sha256(bytes);        std::string name = ToHex(d);
//   Sha256Hasher h; h.Update(a); h.Update(b); Digest ab = h.Finish();
//
// Source: FIPS 180-4; computed by OpenSSL's EVP. Digest is a value; a hasher belongs to one thread.
#ifndef WEFT_PROTO_DIGEST_H_
#define WEFT_PROTO_DIGEST_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weft {

using Digest = std::array<uint8_t, 32>;

Digest Sha256(absl::string_view bytes);

// 64 lower-case hexadecimal digits.
std::string ToHex(const Digest& digest);
absl::StatusOr<Digest> DigestFromHex(absl::string_view hex);

// The 32 raw bytes, as protobuf `bytes` fields hold them.
std::string ToBytes(const Digest& digest);
absl::StatusOr<Digest> DigestFromBytes(absl::string_view bytes);

class Sha256Hasher {
 public:
  Sha256Hasher();
  ~Sha256Hasher();
  Sha256Hasher(Sha256Hasher&&) noexcept;
  Sha256Hasher& operator=(Sha256Hasher&&) noexcept;

  void Update(absl::string_view bytes);
  // The digest of everything since construction or the last Finish; the hasher starts anew.
  Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// Digest of a whole file, read in pieces. NotFound or DataLoss with the path.
absl::StatusOr<Digest> Sha256OfFile(const std::string& path);

}  // namespace weft

#endif  // WEFT_PROTO_DIGEST_H_
