#include "worker/gate/contribution.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ops/log.h"
#include "proto/durable_file.h"
#include "proto/signed_statement.h"

namespace weft {
namespace {

std::string StatementPath(const ContributionContext& context, uint64_t round) {
  return absl::StrFormat("%s/round-%06d.signed.json", context.statement_folder, round);
}

struct OwnStatement {
  std::string text;  // as it lies on disk
  SignedStatement statement;
};

// A statement of this gate's own, read back. Damage may leave it well-formed, and the coordinator
// would refuse it for good, so the signature is checked as it is done there.
absl::StatusOr<OwnStatement> ReadOwnStatement(const Identity& identity, const std::string& path) {
  OwnStatement own;
  absl::StatusOr<std::string> text = ReadWholeFile(path);
  if (!text.ok()) return text.status();
  own.text = *std::move(text);
  absl::StatusOr<SignedStatement> statement = ParseSignedStatement(own.text, path);
  if (!statement.ok()) return statement.status();
  own.statement = *std::move(statement);
  absl::StatusOr<std::string> key = CertificatePublicKey(identity.certificate_pem);
  if (!key.ok()) return key.status();
  const absl::Status verified = Verify(own.statement, kContributionType, {*std::move(key)}, 1);
  if (verified.ok()) return own;
  return absl::DataLossError(absl::StrCat(path, ": damaged: ", verified.message()));
}

// Hashes the blob anew, chunk by chunk: what is sent later is checked against this.
absl::StatusOr<FormedContribution> DescribeBlob(const BlobDirectory& blobs, const Digest& digest) {
  const std::string path = blobs.PathOf(digest);
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return absl::NotFoundError(absl::StrCat(path, ": the encoded contribution is not there"));
  BlobHasher hasher;
  std::string buffer(kChunkBytes, '\0');
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         file.gcount() > 0) {
    hasher.Update(absl::string_view(buffer.data(), static_cast<size_t>(file.gcount())));
  }
  FormedContribution formed;
  formed.blob = hasher.Finish();
  if (formed.blob != digest) {
    return absl::DataLossError(absl::StrCat(path, ": damaged: its digest is ", ToHex(formed.blob)));
  }
  formed.blob_bytes = hasher.bytes();
  for (const Digest& chunk : hasher.chunk_digests()) formed.chunk_sha256s += ToBytes(chunk);
  return formed;
}

Contribution Describe(const ContributionContext& context, const RoundEvent& round,
                      const RoundResult& result, const FormedContribution& formed) {
  Contribution statement;
  *statement.mutable_context() = context.context;
  statement.mutable_context()->clear_session_id();
  statement.mutable_context()->set_base_version(round.context().base_version());
  statement.mutable_context()->set_fragment(round.context().fragment());
  statement.mutable_context()->set_fragment_count(round.context().fragment_count());
  statement.set_site(context.identity->name);
  statement.set_round(round.round());
  statement.set_base_digest(round.base_digest());
  statement.set_layout_digest(ToBytes(context.vectors.layout));
  statement.set_encoding(std::string(EncodingName(context.encoding)));
  statement.set_blob_digest(ToBytes(formed.blob));
  statement.set_blob_bytes(formed.blob_bytes);
  statement.set_inner_steps(result.inner_steps());
  statement.set_token_count(result.token_count());
  if (context.with_validation) {
    statement.set_validation_before(result.validation_before());
    statement.set_validation_after(result.validation_after());
  }
  statement.set_primal_residual(formed.primal_residual);
  return statement;
}

// The statement of a round is signed once, and then reused.
absl::Status SignStatement(const ContributionContext& context, const RoundEvent& round,
                           const RoundResult& result, FormedContribution* formed) {
  SignedStatement statement;
  statement.payload_type = std::string(kContributionType);
  statement.payload = Describe(context, round, result, *formed).SerializeAsString();
  const std::string path = StatementPath(context, round.round());
  absl::StatusOr<OwnStatement> before = ReadOwnStatement(*context.identity, path);
  if (before.ok() && before->statement.payload == statement.payload) {
    formed->signed_statement = std::move(before->text);
    return absl::OkStatus();
  }
  absl::Status status = Sign(context.identity->key_pem, &statement);
  if (!status.ok()) return status;
  formed->signed_statement = PrintSignedStatement(statement);
  return WriteFileDurably(path, formed->signed_statement);
}

}  // namespace

absl::StatusOr<FormedContribution> FormContribution(const ContributionContext& context,
                                                    const RoundEvent& round,
                                                    const RoundResult& result,
                                                    const KeptVectors& kept) {
  if (kept.formed.has_value()) {
    absl::StatusOr<FormedContribution> formed = DescribeBlob(*context.vectors.own, *kept.formed);
    if (formed.ok()) {
      formed->primal_residual = kept.formed_primal_residual;
      if (absl::Status status = SignStatement(context, round, result, &*formed); !status.ok())
        return status;
      return formed;
    }
    LogWarning("the contribution formed before cannot be read, forming it again",
               {{"reason", std::string(formed.status().message())}});
  }
  absl::StatusOr<Digest> vector = DigestFromHex(result.vector_digest());
  if (!vector.ok()) return vector.status();
  absl::StatusOr<Digest> base = DigestFromBytes(round.base_digest());
  if (!base.ok()) return base.status();
  ContributionParts parts{.encoding = context.encoding,
                          .vector = *vector,
                          .base = *base,
                          .residual = kept.residual,
                          .residual_kept = context.residual_kept,
                          .with_dual = context.with_dual,
                          .dual = kept.dual,
                          .sent = kept.sent};
  if (parts.residual.has_value()) {
    if (absl::Status whole = context.vectors.own->Verify(*parts.residual); !whole.ok()) {
      LogWarning("what encodings have lost so far cannot be read, and is not sent",
                 {{"reason", std::string(whole.message())}});
      parts.residual.reset();
    }
  }
  absl::StatusOr<EncodedContribution> encoded = EncodeContribution(context.vectors, parts);
  if (!encoded.ok()) return encoded.status();
  absl::StatusOr<FormedContribution> formed = DescribeBlob(*context.vectors.own, encoded->blob);
  if (!formed.ok()) return formed;
  formed->residual = encoded->residual;
  formed->sent = encoded->sent;
  formed->primal_residual = encoded->primal_residual;
  if (absl::Status status = SignStatement(context, round, result, &*formed); !status.ok())
    return status;
  return formed;
}

absl::StatusOr<FormedContribution> LoadContribution(const ContributionContext& context,
                                                    const RoundEvent& round) {
  const std::string path = StatementPath(context, round.round());
  absl::StatusOr<OwnStatement> own = ReadOwnStatement(*context.identity, path);
  if (!own.ok()) return own.status();
  Contribution contribution;
  if (!contribution.ParseFromString(own->statement.payload) ||
      contribution.base_digest() != round.base_digest()) {
    return absl::DataLossError(
        absl::StrCat(path, ": not the contribution of round ", round.round()));
  }
  absl::StatusOr<Digest> blob = DigestFromBytes(contribution.blob_digest());
  if (!blob.ok()) return blob.status();
  absl::StatusOr<FormedContribution> formed = DescribeBlob(*context.vectors.own, *blob);
  if (formed.ok()) formed->signed_statement = std::move(own->text);
  return formed;
}

absl::Status RemoveContributions(const ContributionContext& context, uint64_t round,
                                 const std::vector<std::string>& keep) {
  for (const Digest& digest : context.vectors.own->List()) {
    if (std::find(keep.begin(), keep.end(), ToHex(digest)) != keep.end()) continue;
    if (absl::Status status = context.vectors.own->Remove(digest); !status.ok()) return status;
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(context.statement_folder, error)) {
    const std::string path = entry.path().string();
    // Numbers have six digits, or more without leading zeros: shorter names are older.
    const std::string limit = StatementPath(context, round);
    const bool older = path.size() < limit.size() || (path.size() == limit.size() && path < limit);
    if (older) std::filesystem::remove(entry.path(), error);
  }
  if (error)
    return absl::InternalError(absl::StrCat(context.statement_folder, ": ", error.message()));
  return absl::OkStatus();
}

}  // namespace weft
