#include "ops/signed_file.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ops/identity.h"
#include "proto/digest.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

constexpr uint64_t kSignedBytesMax = uint64_t{16} << 20;

bool LooksLikeJson(absl::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != absl::string_view::npos && text[first] == '{';
}

}  // namespace

absl::StatusOr<SignedStatement> ReadStatement(const std::string& path, absl::string_view type) {
  absl::StatusOr<std::string> text = ReadWholeFile(path, kSignedBytesMax);
  if (!text.ok()) return text.status();
  SignedStatement statement;
  if (!LooksLikeJson(*text)) {
    statement.payload_type = std::string(type);
    statement.payload = *std::move(text);
    return statement;
  }
  absl::StatusOr<SignedStatement> parsed = ParseSignedStatement(*text, path);
  if (!parsed.ok()) return parsed.status();
  if (parsed->payload_type != type) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": holds '", parsed->payload_type, "', expected '", type, "'"));
  }
  return parsed;
}

absl::Status VerifyStatement(const SignedStatement& statement, const std::string& path,
                             absl::string_view type, const Authorities& authorities) {
  if (absl::Status checked = CheckAuthorities(authorities); !checked.ok()) return checked;
  const std::vector<std::string> keys(authorities.public_keys().begin(),
                                      authorities.public_keys().end());
  const absl::Status verified =
      Verify(statement, type, keys, static_cast<int>(authorities.threshold()));
  if (verified.ok()) return verified;
  return absl::Status(verified.code(), absl::StrCat(path, ": ", verified.message()));
}

absl::StatusOr<SigningResult> SignFile(
    const std::string& authority_folder, const std::string& in, const std::string& out,
    absl::string_view type, const std::function<absl::Status(const std::string& payload)>& check) {
  absl::StatusOr<Identity> authority = LoadIdentity(authority_folder);
  if (!authority.ok()) return authority.status();
  absl::StatusOr<SignedStatement> statement = ReadStatement(in, type);
  if (!statement.ok()) return statement.status();
  if (absl::Status checked = check(statement->payload); !checked.ok()) return checked;
  absl::StatusOr<std::string> public_key = PublicKeyOf(authority->key_pem);
  if (!public_key.ok()) return public_key.status();
  absl::StatusOr<std::string> id = KeyId(*public_key);
  if (!id.ok()) return id.status();
  for (const Signature& signature : statement->signatures) {
    if (signature.key_id == *id) {
      return absl::FailedPreconditionError(
          absl::StrCat(in, ": '", authority->name, "' has signed it already (key ", *id, ")"));
    }
  }
  if (absl::Status made = Sign(authority->key_pem, &*statement); !made.ok()) return made;
  absl::Status written = WriteFileDurably(out, PrintSignedStatement(*statement));
  if (!written.ok()) return written;
  return SigningResult{.digest_hex = ToHex(Sha256(statement->payload)),
                       .signature_count = static_cast<int>(statement->signatures.size()),
                       .threshold = static_cast<int>(authority->authorities.threshold())};
}

}  // namespace weft
