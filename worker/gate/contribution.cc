#include "worker/gate/contribution.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/durable_file.h"
#include "proto/signed_statement.h"

namespace weft {
namespace {

constexpr uint64_t kBlockElements = uint64_t{1} << 18;

std::string StatementPath(const ContributionContext& context, uint64_t round) {
  return absl::StrFormat("%s/round-%06d.signed.json", context.statement_folder, round);
}

absl::StatusOr<VectorReader> OpenVector(const ContributionContext& context, const Digest& digest) {
  if (absl::Status status = context.site_blobs->Verify(digest); !status.ok()) return status;
  absl::StatusOr<VectorReader> reader = VectorReader::Open(context.site_blobs->PathOf(digest));
  if (!reader.ok()) return reader;
  if (reader->header().layout != context.layout ||
      reader->header().encoding != Encoding::kParametersFp32) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToHex(digest), ": not a whole vector of the accepted layout"));
  }
  return reader;
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

// Encodes the site vector, a block at a time, into a blob of the gate's own folder.
absl::StatusOr<Digest> EncodeBlob(const ContributionContext& context, const Digest& vector,
                                  const Digest& base) {
  absl::StatusOr<VectorReader> x = OpenVector(context, vector);
  if (!x.ok()) return x.status();
  absl::StatusOr<VectorReader> z = OpenVector(context, base);
  if (!z.ok()) return z.status();
  const bool delta = IsDelta(context.encoding);
  VectorHeader header{.encoding = context.encoding,
                      .element_count = x->header().element_count,
                      .layout = context.layout};
  if (delta) header.base = base;
  if (z->header().element_count != header.element_count) {
    return absl::InvalidArgumentError(absl::StrCat("the site vector has ", header.element_count,
                                                   " elements, its base ",
                                                   z->header().element_count));
  }
  absl::StatusOr<std::unique_ptr<BlobWriter>> writer = context.own_blobs->NewBlob();
  if (!writer.ok()) return writer.status();
  absl::Status status = (*writer)->Append(PrintVectorHeader(header));
  std::vector<float> x_block, z_block;
  std::string bytes;
  for (uint64_t begin = 0; status.ok() && begin < header.element_count; begin += kBlockElements) {
    const uint64_t count = std::min(kBlockElements, header.element_count - begin);
    x_block.resize(count);
    z_block.resize(delta ? count : 0);
    status = x->Read(begin, {}, absl::MakeSpan(x_block));
    if (status.ok() && delta) status = z->Read(begin, {}, absl::MakeSpan(z_block));
    bytes.clear();
    if (status.ok()) status = EncodeElements(context.encoding, x_block, z_block, begin, &bytes);
    if (status.ok()) status = (*writer)->Append(bytes);
  }
  if (!status.ok()) return status;
  return (*writer)->Commit();
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
  statement.set_site(context.identity->name);
  statement.set_round(round.round());
  statement.set_base_digest(round.base_digest());
  statement.set_layout_digest(ToBytes(context.layout));
  statement.set_encoding(std::string(EncodingName(context.encoding)));
  statement.set_blob_digest(ToBytes(formed.blob));
  statement.set_blob_bytes(formed.blob_bytes);
  statement.set_inner_steps(result.inner_steps());
  statement.set_token_count(result.token_count());
  return statement;
}

}  // namespace

absl::StatusOr<FormedContribution> FormContribution(const ContributionContext& context,
                                                    const RoundEvent& round,
                                                    const RoundResult& result) {
  absl::StatusOr<Digest> vector = DigestFromHex(result.vector_digest());
  if (!vector.ok()) return vector.status();
  absl::StatusOr<Digest> base = DigestFromBytes(round.base_digest());
  if (!base.ok()) return base.status();
  absl::StatusOr<Digest> blob = EncodeBlob(context, *vector, *base);
  if (!blob.ok()) return blob.status();
  absl::StatusOr<FormedContribution> formed = DescribeBlob(*context.own_blobs, *blob);
  if (!formed.ok()) return formed;

  SignedStatement statement;
  statement.payload_type = std::string(kContributionType);
  statement.payload = Describe(context, round, result, *formed).SerializeAsString();
  const std::string path = StatementPath(context, round.round());
  absl::StatusOr<OwnStatement> before = ReadOwnStatement(*context.identity, path);
  if (before.ok() && before->statement.payload == statement.payload) {
    formed->signed_statement = std::move(before->text);
    return formed;
  }
  if (absl::Status status = Sign(context.identity->key_pem, &statement); !status.ok())
    return status;
  formed->signed_statement = PrintSignedStatement(statement);
  if (absl::Status status = WriteFileDurably(path, formed->signed_statement); !status.ok())
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
  absl::StatusOr<FormedContribution> formed = DescribeBlob(*context.own_blobs, *blob);
  if (formed.ok()) formed->signed_statement = std::move(own->text);
  return formed;
}

absl::Status RemoveContributions(const ContributionContext& context, uint64_t round) {
  for (const Digest& digest : context.own_blobs->List()) {
    if (absl::Status status = context.own_blobs->Remove(digest); !status.ok()) return status;
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
