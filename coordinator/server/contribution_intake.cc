#include "coordinator/server/contribution_intake.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/store/contribution_check.h"
#include "model/parameters/fragments.h"
#include "proto/blob_digest.h"
#include "proto/check.h"
#include "proto/round_schedule.h"
#include "proto/signed_statement.h"

namespace weft {
namespace {

PushReply Refused(Refusal refusal) {
  PushReply reply;
  *reply.mutable_refusal() = std::move(refusal);
  return reply;
}
PushReply Stored(const std::string& receipt_digest) {
  PushReply reply;
  reply.set_stored(true);
  reply.set_receipt_digest(receipt_digest);
  return reply;
}

// The digests of the chunks must be those that the signed digest was made of: then every chunk that
// matches its own is a part of what the site signed.
Refusal CheckChunkDigests(const Contribution& contribution, const std::string& chunk_sha256s) {
  const uint64_t count = ChunkCount(contribution.blob_bytes());
  if (chunk_sha256s.size() != count * sizeof(Digest)) {
    return MakeRefusal(Refusal::MALFORMED,
                       absl::StrCat(chunk_sha256s.size(), " bytes of chunk digests: ", count,
                                    " chunks have ", count * sizeof(Digest)));
  }
  std::vector<Digest> digests;
  for (uint64_t i = 0; i < count; ++i) {
    digests.push_back(*DigestFromBytes(
        absl::string_view(chunk_sha256s).substr(i * sizeof(Digest), sizeof(Digest))));
  }
  if (ToBytes(BlobDigest(contribution.blob_bytes(), digests)) != contribution.blob_digest()) {
    return MakeRefusal(Refusal::CORRUPTED,
                       "the chunks' digests do not make the digest that was signed");
  }
  return {};
}

Refusal ReadStatement(const std::string& signed_contribution, const MemberSite& member,
                      Contribution* contribution) {
  const auto statement = ParseSignedStatement(signed_contribution, "contribution");
  if (!statement.ok()) {
    return MakeRefusal(Refusal::MALFORMED, std::string(statement.status().message()));
  }
  const std::vector<std::string> keys = {member.public_key()};
  const absl::Status status = Verify(*statement, kContributionType, keys, 1);
  if (!status.ok()) {
    return MakeRefusal(Refusal::BAD_SIGNATURE, std::string(status.message()));
  }
  if (!contribution->ParseFromString(statement->payload)) {
    return MakeRefusal(Refusal::MALFORMED, "the signed payload is not a Contribution");
  }
  return {};
}

}  // namespace

absl::StatusOr<std::unique_ptr<ContributionIntake>> ContributionIntake::Create(
    const LoadedRun& run, RoundDriver* driver) {
  absl::StatusOr<std::unique_ptr<ContributionSpool>> spool =
      ContributionSpool::Open(run.paths.spool());
  if (!spool.ok()) return spool.status();
  return std::unique_ptr<ContributionIntake>(
      new ContributionIntake(run, driver, *std::move(spool)));
}

ContributionIntake::ContributionIntake(const LoadedRun& run, RoundDriver* driver,
                                       std::unique_ptr<ContributionSpool> spool)
    : run_(run), driver_(driver), spool_(std::move(spool)) {
  shape_.layout = run.layout.digest();
  shape_.encoding = run.manifest.manifest.encodings().up();
  const uint32_t count = FragmentCount(run.manifest.manifest.consensus());
  for (uint32_t f = 0; f < count; ++f) {
    VectorHeader header = FragmentHeader(shape_.layout, run.layout.element_count(), count, f);
    header.encoding =
        *FormatFromName(shape_.encoding, run.manifest.manifest.encodings().topk_density());
    shape_.blob_bytes.push_back(EncodedBytes(header.encoding, header.element_count));
    headers_.push_back(header);
  }
}

absl::StatusOr<PushReply> ContributionIntake::FindReceipt(const std::string& site,
                                                          const Contribution& contribution) {
  const MessageContext& context = contribution.context();
  const auto receipt =
      driver_->store().FindReceipt(site, context.base_version(), context.fragment());
  if (!receipt.ok()) return receipt.status();
  if (!receipt->has_value()) return PushReply();
  if ((*receipt)->digest() == contribution.blob_digest()) return Stored((*receipt)->digest());
  return Refused(
      MakeRefusal(Refusal::ANOTHER_STORED,
                  absl::StrCat("another contribution (", ShortHex((*receipt)->digest()),
                               ") is stored for base version ", context.base_version())));
}

absl::StatusOr<ContributionIntake::Opening> ContributionIntake::ReadHead(
    const std::string& site, const std::string& signed_contribution,
    const std::string& chunk_sha256s, SpoolHead* head) {
  const std::shared_ptr<const RoundState> state = driver_->state();
  const RunManifest& manifest = run_.manifest.manifest;
  Opening opening{.site = site, .signed_contribution = signed_contribution};
  const auto answer = [&opening](PushReply reply) {
    opening.answered = true;
    opening.reply = std::move(reply);
    return opening;
  };
  const MemberSite* member = FindMember(*state, site);
  if (member == nullptr) return answer(Refused(CheckMember(*state, site, true)));
  Contribution& contribution = opening.contribution;
  Refusal refusal = ReadStatement(signed_contribution, *member, &contribution);
  if (!IsRefused(refusal)) refusal = CheckContext(manifest, *state, contribution.context());
  if (IsRefused(refusal)) return answer(Refused(refusal));

  absl::StatusOr<PushReply> known = FindReceipt(site, contribution);
  if (!known.ok()) return known.status();
  if (known->stored() || known->has_refusal()) return answer(*std::move(known));

  refusal = CheckContribution(manifest, *state, shape_, site, contribution);
  if (!IsRefused(refusal)) refusal = CheckChunkDigests(contribution, chunk_sha256s);
  if (IsRefused(refusal)) return answer(Refused(refusal));
  head->set_round(contribution.round());
  head->set_blob_digest(contribution.blob_digest());
  head->set_blob_bytes(contribution.blob_bytes());
  head->set_chunk_sha256s(chunk_sha256s);
  head->set_signed_contribution(signed_contribution);
  return opening;
}

absl::StatusOr<ContributionIntake::Opening> ContributionIntake::Open(
    const std::string& site, const std::string& signed_contribution,
    const std::string& chunk_sha256s) {
  SpoolHead head;
  absl::StatusOr<Opening> opening = ReadHead(site, signed_contribution, chunk_sha256s, &head);
  if (!opening.ok() || opening->answered) return opening;
  absl::StatusOr<std::shared_ptr<SpooledContribution>> spooled = spool_->Begin(site, head);
  if (!spooled.ok()) return spooled.status();
  opening->spooled = *std::move(spooled);
  return opening;
}

absl::StatusOr<ContributionIntake::Opening> ContributionIntake::Look(
    const std::string& site, const std::string& signed_contribution,
    const std::string& chunk_sha256s) {
  SpoolHead head;
  absl::StatusOr<Opening> opening = ReadHead(site, signed_contribution, chunk_sha256s, &head);
  if (!opening.ok() || opening->answered) return opening;
  opening->spooled = spool_->Find(site, head.blob_digest(), head.round());
  opening->reply.set_chunk_bitmap(opening->spooled != nullptr
                                      ? opening->spooled->bitmap()
                                      : std::string((ChunkCount(head.blob_bytes()) + 7) / 8, '\0'));
  return opening;
}

void ContributionIntake::Complete(Opening opening, Done done) {
  WEFT_CHECK(opening.spooled != nullptr && opening.spooled->complete());
  checks_.Post([this, opening = std::move(opening), done = std::move(done)] {
    CheckAndStore(opening, done);
  });
}

absl::StatusOr<Refusal> ContributionIntake::CheckBytes(const Opening& opening,
                                                       double* update_norm) {
  const Contribution& contribution = opening.contribution;
  if (absl::Status status = opening.spooled->VerifyWhole(); !status.ok()) {
    // Every chunk was right when it came: this is our disk's doing, and the site sends again.
    spool_->Remove(opening.site, opening.spooled).IgnoreError();
    return status;
  }
  VectorHeader expected = headers_[contribution.context().fragment()];
  const Digest base = *DigestFromBytes(contribution.base_digest());
  if (IsDelta(expected.encoding)) expected.base = base;
  const auto check = CheckContributionVector(opening.spooled->data_path(), expected,
                                             driver_->vectors().PathOf(base),
                                             run_.manifest.manifest.rounds().update_norm_max());
  if (!check.ok()) {
    // The round may have closed, and its base be gone, while we were reading.
    if (driver_->state()->consensus().version() != contribution.context().base_version()) {
      return MakeRefusal(Refusal::WRONG_ROUND,
                         absl::StrCat("round ", contribution.round(), " is closed"));
    }
    return check.status();
  }
  *update_norm = check->update_norm;
  return check->refusal;
}

void ContributionIntake::CheckAndStore(const Opening& opening, const Done& done) {
  // Two streams may have brought the last chunks at once: the first of them has stored it.
  absl::StatusOr<PushReply> known = FindReceipt(opening.site, opening.contribution);
  if (!known.ok() || known->stored() || known->has_refusal()) return done(known);

  StoredContribution stored;
  double update_norm = 0;
  const absl::StatusOr<Refusal> refusal = CheckBytes(opening, &update_norm);
  absl::Status status = refusal.status();
  if (status.ok() && IsRefused(*refusal)) {
    spool_->Remove(opening.site, opening.spooled).IgnoreError();  // the next Begin removes it, too
    driver_->Submit(CallRefused{opening.site, *refusal});
    return done(Refused(*refusal));
  }
  if (status.ok()) {
    const auto blobs =
        BlobDirectory::Open(run_.paths.contributions_of(opening.contribution.round()));
    status = blobs.ok() ? opening.spooled->MoveTo(*blobs) : blobs.status();
  }
  if (!status.ok()) return done(status);

  stored.set_site(opening.site);
  stored.set_digest(opening.contribution.blob_digest());
  stored.set_bytes(opening.contribution.blob_bytes());
  stored.set_encoding(opening.contribution.encoding());
  stored.set_update_norm(update_norm);
  stored.set_inner_steps(opening.contribution.inner_steps());
  stored.set_token_count(opening.contribution.token_count());
  stored.set_base_version(opening.contribution.context().base_version());
  stored.set_base_digest(opening.contribution.base_digest());
  stored.set_validation_before(opening.contribution.validation_before());
  stored.set_validation_after(opening.contribution.validation_after());
  stored.set_primal_residual(opening.contribution.primal_residual());
  driver_->Submit(
      ContributionArrived{opening.contribution.round(), stored, opening.signed_contribution},
      [this, opening, done](const RoundDriver::Outcome& outcome) {
        if (!outcome.ok()) return done(outcome.status());
        spool_->Remove(opening.site, opening.spooled).IgnoreError();
        for (const Effect& effect : *outcome) {
          if (const auto* accept = std::get_if<Accept>(&effect)) {
            return done(Stored(accept->receipt_digest));
          }
          if (const auto* refuse = std::get_if<Refuse>(&effect))
            return done(Refused(refuse->refusal));
        }
        WEFT_CHECK(false);  // the machine answers every contribution
      });
}

}  // namespace weft
