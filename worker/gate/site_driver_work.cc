// The driver's effects that handle vectors: bases, orders, contributions, and what is kept of them.
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/parameters/fragments.h"
#include "ops/log.h"
#include "proto/check.h"
#include "proto/text_file.h"
#include "worker/core/site_messages.h"
#include "worker/gate/site_driver.h"

namespace weft {
namespace {

std::string Words(const absl::Status& status) { return std::string(status.message()); }
std::string ShortHex(const std::string& bytes) {
  return absl::BytesToHexString(bytes.substr(0, 4));
}

std::string HexOrNone(const std::optional<Digest>& digest) {
  return digest ? ToHex(*digest) : std::string();
}
std::optional<Digest> DigestOrNone(const std::string& hex) {
  const absl::StatusOr<Digest> digest = DigestFromHex(hex);
  return digest.ok() ? std::optional(*digest) : std::nullopt;
}

// The digest, if its vector is whole. `what` is said where it is not.
std::optional<Digest> WholeOrNone(const BlobDirectory& blobs, const std::string& hex,
                                  absl::string_view what) {
  const std::optional<Digest> digest = DigestOrNone(hex);
  if (!digest) return digest;
  const absl::Status whole = blobs.Verify(*digest);
  if (whole.ok()) return digest;
  LogWarning(absl::StrCat("cannot read ", what), {{"reason", Words(whole)}});
  return std::nullopt;
}

}  // namespace

BaseFetch SiteDriver::Fetching(const BlobDirectory* blobs) const {
  return {parts_.client, blobs, parts_.folder->partial_folder(), layout_};
}

SiteVectors SiteDriver::Vectors() const {
  return {&parts_.site->blobs(), parts_.own_blobs, layout_};
}

SiteDriver::Came SiteDriver::Do(const site::FetchBase& effect) {
  const absl::Time began = absl::Now();
  absl::StatusOr<Refusal> refusal =
      FetchConsensus(Fetching(&parts_.site->blobs()), effect.round, effect.delta);
  if (!refusal.ok()) return site::OperationFailed{site::Operation::kPull, Words(refusal.status())};
  if (refusal->code() != Refusal::NONE) return site::Refused{site::Operation::kPull, *refusal};
  LogInfo("consensus is here",
          {{"round", absl::StrCat(effect.round.round())},
           {"digest", ShortHex(effect.round.base_digest())},
           {"by", effect.delta ? "delta" : "whole"},
           {"seconds", absl::StrCat(absl::ToDoubleSeconds(absl::Now() - began))}});
  site::BaseFetched fetched{absl::BytesToHexString(effect.round.base_digest()), ""};
  if (effect.round.phase() != RoundEvent::FINISHED || effect.round.fragments().empty())
    return fetched;
  std::vector<Digest> parts;
  for (const FragmentVersion& part : effect.round.fragments())
    parts.push_back(*DigestFromBytes(part.digest()));  // each was fetched by it
  absl::StatusOr<Digest> whole =
      AssembleFragments(parts_.site->blobs(), parts, parts_.site->blobs());
  if (!whole.ok()) {
    EndWith(whole.status());
    return std::nullopt;
  }
  fetched.assembled = ToHex(*whole);
  return fetched;
}

// The initial consensus, until a contribution has counted: the coordinator's sum starts from it.
std::string SiteDriver::SentOrInitial() const {
  const std::string& sent = machine_.state().sent_digest();
  return sent.empty() ? parts_.accepted->manifest.initial_consensus() : sent;
}

// What the coordinator has of this site lies in the gate's own folder, whole. Without it no change
// can be formed, ever: FailedPrecondition.
absl::Status SiteDriver::HoldSent(const RoundEvent& round) {
  const absl::StatusOr<Digest> sent = DigestFromHex(SentOrInitial());
  if (!sent.ok()) return sent.status();
  absl::Status held = parts_.own_blobs->Verify(*sent);
  if (held.ok()) return held;
  const bool initial = machine_.state().sent_digest().empty();
  if (initial && parts_.site->blobs().Verify(*sent).ok()) return KeepVector(Vectors(), *sent);
  if (initial) {
    RoundEvent first;
    first.set_base_digest(ToBytes(*sent));
    first.set_base_bytes(round.base_bytes());
    absl::StatusOr<Refusal> refusal = FetchConsensus(Fetching(parts_.own_blobs), first, false);
    if (!refusal.ok()) return refusal.status();
    if (refusal->code() == Refusal::NONE) return absl::OkStatus();
    held = absl::NotFoundError(refusal->reason());
  }
  return absl::FailedPreconditionError(absl::StrCat(
      initial ? "the run's initial consensus" : "what the coordinator has of this site",
      " is needed to form the change since then, and cannot be read: ", held.message(),
      "; bring it back as ", parts_.own_blobs->PathOf(*sent), " from a copy, and start again"));
}

SiteDriver::Came SiteDriver::Do(const site::PrepareDual& effect) {
  const SiteVectors vectors = Vectors();
  DualStep step{.base = *DigestFromBytes(effect.round.base_digest()), .scale = effect.scale};
  step.dual = WholeOrNone(*vectors.own, effect.dual, "the dual: it begins again with zeros");
  step.vector = WholeOrNone(*vectors.site, effect.vector,
                            "the site vector that has counted: the dual stays as it is");
  absl::Status status = HoldSent(effect.round);
  const auto keep = [&status](const absl::StatusOr<Digest>& made, std::optional<Digest>* place) {
    status = made.status();
    if (made.ok()) *place = *made;
  };
  if (status.ok() && (step.vector || (step.dual && step.scale != 1)))
    keep(StepDual(vectors, step), &step.dual);
  std::optional<Digest> anchor;
  if (status.ok() && step.dual) keep(WriteAnchor(vectors, step.base, *step.dual), &anchor);
  if (!status.ok()) {
    EndWith(status);
    return std::nullopt;
  }
  return site::DualReady{ToHex(step.base), HexOrNone(step.dual), HexOrNone(anchor)};
}

RoundOrder SiteDriver::OrderOf(const RoundEvent& round) const {
  return site::MakeOrder(parts_.accepted->manifest, parts_.identity->name, machine_.state(), round);
}

SiteDriver::Came SiteDriver::Do(const site::WriteOrder& effect) {
  if (absl::Status status = parts_.site->WriteOrder(OrderOf(effect.round)); !status.ok()) {
    EndWith(status);
    return std::nullopt;
  }
  LogInfo("order written", {{"round", absl::StrCat(effect.round.round())},
                            {"steps", absl::StrCat(effect.round.inner_steps())}});
  StartWorkerIfNeeded(effect.round);
  return std::nullopt;
}

ContributionContext SiteDriver::Contributing() const {
  const Encodings& encodings = parts_.accepted->manifest.encodings();
  const absl::StatusOr<VectorFormat> up = FormatFromName(encodings.up(), encodings.topk_density());
  WEFT_CHECK(up.ok());  // The manifest was checked when it was loaded.
  const ConsensusScheme& scheme = parts_.accepted->manifest.consensus();
  return {.identity = parts_.identity,
          .context = parts_.client->context(),
          .vectors = Vectors(),
          .statement_folder = parts_.folder->statement_folder(),
          .encoding = *up,
          .residual_kept = ResidualKept(scheme, *up),
          .with_dual = scheme.dual(),
          .with_validation = scheme.influence().validation_samples() > 0};
}

SiteDriver::Came SiteDriver::Do(const site::CutOrder& effect) {
  RoundOrder order = OrderOf(effect.round);
  order.set_steps_enough(effect.round.inner_steps_min());
  if (absl::Status status = parts_.site->WriteOrder(order); !status.ok()) {
    EndWith(status);
    return std::nullopt;
  }
  LogInfo("time is up: the worker stops when it has done enough",
          {{"round", absl::StrCat(effect.round.round())},
           {"enough", absl::StrCat(effect.round.inner_steps_min())},
           {"steps", absl::StrCat(effect.round.inner_steps())}});
  return std::nullopt;
}

KeptVectors SiteDriver::Kept(const site::FormContribution& effect) const {
  KeptVectors kept{.residual = DigestOrNone(effect.residual),
                   .dual = DigestOrNone(effect.dual),
                   .formed = DigestOrNone(effect.formed),
                   .formed_primal_residual = effect.formed_primal_residual};
  if (const auto sent = DigestOrNone(SentOrInitial())) kept.sent = *sent;
  return kept;
}

// The worker's result is to blame, and work done again may be of use: what is missing, damaged or
// not finite. Anything else is this machine's: its disk is full, or cannot be read.
SiteDriver::Came SiteDriver::CannotForm(const absl::Status& status) {
  const bool unusable =
      absl::IsDataLoss(status) || absl::IsNotFound(status) || absl::IsInvalidArgument(status);
  if (unusable) return site::ResultUnusable{Words(status)};
  EndWith(status);
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::FormContribution& effect) {
  absl::StatusOr<FormedContribution> formed =
      FormContribution(Contributing(), effect.round, effect.result, Kept(effect));
  if (!formed.ok()) return CannotForm(formed.status());
  return site::ContributionFormed{ToHex(formed->blob), formed->blob_bytes,
                                  HexOrNone(formed->residual), HexOrNone(formed->sent),
                                  formed->primal_residual};
}

SiteDriver::Came SiteDriver::Do(const site::PushContribution& effect) {
  absl::StatusOr<FormedContribution> formed = LoadContribution(Contributing(), effect.round);
  if (!formed.ok()) {
    LogWarning("the contribution on disk cannot be used, forming it again",
               {{"reason", Words(formed.status())}});
    const site::FormContribution again = site::FormingOf(machine_.state());
    formed = FormContribution(Contributing(), again.round, again.result, Kept(again));
  }
  if (!formed.ok()) return CannotForm(formed.status());
  if (ToHex(formed->blob) != machine_.state().contribution_blob()) {
    return site::ResultUnusable{"formed again it has other bytes than before"};
  }
  absl::StatusOr<PushReply> reply =
      parts_.client->Push(*formed, parts_.own_blobs->PathOf(formed->blob));
  if (!reply.ok()) return site::OperationFailed{site::Operation::kPush, Words(reply.status())};
  if (reply->refusal().code() != Refusal::NONE)
    return site::Refused{site::Operation::kPush, reply->refusal()};
  LogInfo("contribution stored", {{"round", absl::StrCat(effect.round.round())},
                                  {"digest", ShortHex(reply->receipt_digest())},
                                  {"bytes", absl::StrCat(formed->blob_bytes)}});
  return site::ContributionStored{absl::BytesToHexString(reply->receipt_digest())};
}

SiteDriver::Came SiteDriver::Do(const site::DiscardResult& effect) {
  if (absl::Status status = parts_.site->RemoveResult(effect.work); !status.ok()) EndWith(status);
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::CleanUp& effect) {
  std::vector<std::string> own = effect.keep_own;
  if (parts_.accepted->manifest.consensus().dual()) own.push_back(SentOrInitial());
  for (const absl::Status& status : {parts_.site->RemoveBefore(effect.round, effect.keep),
                                     RemoveContributions(Contributing(), effect.round, own)}) {
    if (!status.ok())
      LogWarning("cannot remove what rounds before have left", {{"reason", Words(status)}});
  }
  return std::nullopt;
}

SiteDriver::Came SiteDriver::Do(const site::RecordFinal& effect) {
  const std::string path = parts_.site->folder() + "/final.textproto";
  RoundOrder order = OrderOf(effect.round);
  order.set_base_digest(effect.digest);
  order.clear_fragment();
  order.clear_fragment_digests();
  order.clear_anchor_digest();
  if (absl::Status status = WriteTextProto(path, order); !status.ok()) EndWith(status);
  LogInfo("the final consensus is in the site directory",
          {{"file", absl::StrCat("blobs/", effect.digest)}});
  return std::nullopt;
}

}  // namespace weft
