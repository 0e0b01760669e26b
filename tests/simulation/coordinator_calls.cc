// The calls of the simulated coordinator: who may, and a contribution's way from its head to its
// receipt, as coordinator/server/caller.cc and contribution_intake.cc do it.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "coordinator/core/round_view.h"
#include "kernels/vector_ops.h"
#include "tests/simulation/simulated_coordinator.h"

namespace weft::simulation {
namespace {

// The refusal among the effects of an event, if there is one.
Refusal RefusalAmong(const std::vector<Effect>& effects) {
  for (const Effect& effect : effects) {
    if (const auto* refuse = std::get_if<Refuse>(&effect)) return refuse->refusal;
  }
  return {};
}

PushReply Stored(const std::string& digest) {
  PushReply reply;
  reply.set_stored(true);
  reply.set_receipt_digest(digest);
  return reply;
}

}  // namespace

void SimulatedCoordinator::Receive(int site, const Call& call, Respond respond) {
  if (!up()) return;
  // An answer that the process did not live to give is never given.
  const Respond answer = [this, at = life(), respond = std::move(respond)](Answer reply) {
    if (at == life()) respond(std::move(reply));
  };
  std::visit([&](const auto& message) { On(site, message, answer); }, call);
}

Refusal SimulatedCoordinator::CheckCaller(int site, const MessageContext& context,
                                          bool session_needed) const {
  const RoundState& state = machine_->state();
  Refusal refusal = CheckContext(manifest(), state, context);
  if (!IsRefused(refusal)) refusal = CheckMember(state, SiteName(site), /*key_matches=*/true);
  if (!IsRefused(refusal) && session_needed) {
    refusal = CheckSession(state, SiteName(site), context.session_id());
  }
  return refusal;
}

void SimulatedCoordinator::On(int site, const JoinRequest& call, const Respond& respond) {
  const std::string name = SiteName(site);
  JoinReply reply;
  Refusal refusal = CheckCaller(site, call.context(), false);
  if (!IsRefused(refusal) && call.site() != name) {
    refusal = MakeRefusal(Refusal::NOT_A_MEMBER, "the certificate is of another site");
  }
  if (IsRefused(refusal)) {
    if (!Handle(CallRefused{name, refusal})) return;
    *reply.mutable_refusal() = refusal;
    return respond(reply);
  }
  // Also a coordinator that starts again gives no session twice.
  const std::string session =
      absl::StrCat("session-", world_->scheduler.now_ms(), "-", sessions_++);
  const Outcome outcome = Handle(SiteJoined{name, session});
  if (!outcome.has_value()) return;
  *reply.mutable_now() = RoundEventFor(manifest(), machine_->state(), name, session);
  world_->mutation.told(reply.mutable_now());
  *reply.mutable_context() = reply.now().context();
  if (const Refusal refused = RefusalAmong(*outcome); IsRefused(refused)) {
    *reply.mutable_refusal() = refused;
  } else {
    world_->checkers.Told(name, reply.now());
  }
  respond(reply);
}

void SimulatedCoordinator::On(int site, const PullRequest& call, const Respond& respond) {
  PullAnswer answer;
  answer.refusal = CheckCaller(site, call.context(), true);
  const std::string& digest = call.blob_digest();
  if (!IsRefused(answer.refusal) && !ServedBytes(machine_->state(), digest).has_value()) {
    answer.refusal = MakeRefusal(Refusal::UNKNOWN_BLOB, "neither the site's base nor its delta");
  }
  if (IsRefused(answer.refusal)) {
    if (!Handle(CallRefused{SiteName(site), answer.refusal})) return;
    return respond(answer);
  }
  const std::string* blob = disk_.Read(VectorFile(digest));
  if (blob == nullptr) return Fail("the consensus that is served is not there");
  answer.blob = *blob;
  respond(answer);
}

std::optional<PushReply> SimulatedCoordinator::FindReceipt(const PushCall& call) const {
  const Contribution& contribution = call.contribution;
  const std::string* bytes = disk_.Read(
      absl::StrCat("receipt/", contribution.site(), "/", contribution.context().base_version()));
  if (bytes == nullptr || !world_->mutation.looks_for_receipts) return std::nullopt;
  Receipt receipt;
  if (!receipt.ParseFromString(*bytes)) return std::nullopt;
  if (receipt.digest() == contribution.blob_digest()) return Stored(receipt.digest());
  PushReply reply;
  *reply.mutable_refusal() =
      MakeRefusal(Refusal::ANOTHER_STORED, "another contribution is stored for this base");
  return reply;
}

void SimulatedCoordinator::AnswerPush(const PushCall& call, const PushReply& reply,
                                      const Respond& respond) {
  world_->checkers.Answered(call, reply);
  respond(reply);
}

void SimulatedCoordinator::RefusePush(int site, const PushCall& call, Refusal refusal,
                                      const Respond& respond) {
  if (!Handle(CallRefused{SiteName(site), refusal})) return;
  PushReply reply;
  *reply.mutable_refusal() = std::move(refusal);
  AnswerPush(call, reply, respond);
}

void SimulatedCoordinator::On(int site, const PushCall& call, const Respond& respond) {
  const Contribution& contribution = call.contribution;
  Refusal refusal = CheckCaller(site, call.context, true);
  if (!IsRefused(refusal) && call.signer != SiteName(site)) {
    refusal = MakeRefusal(Refusal::BAD_SIGNATURE, "signed with another key");
  }
  if (!IsRefused(refusal)) {
    refusal = CheckContext(manifest(), machine_->state(), contribution.context());
  }
  if (IsRefused(refusal)) return RefusePush(site, call, refusal, respond);
  if (const std::optional<PushReply> known = FindReceipt(call); known.has_value()) {
    if (known->has_refusal()) return RefusePush(site, call, known->refusal(), respond);
    return AnswerPush(call, *known, respond);
  }
  if (world_->mutation.checks_contributions) {
    refusal =
        CheckContribution(manifest(), machine_->state(), shape_, SiteName(site), contribution);
  }
  if (!IsRefused(refusal) && DigestOf(call.blob) != contribution.blob_digest()) {
    refusal = MakeRefusal(Refusal::CORRUPTED, "the blob is not what was signed");
  }
  if (IsRefused(refusal)) return RefusePush(site, call, refusal, respond);
  Spool(call, respond);
}

void SimulatedCoordinator::Spool(const PushCall& call, const Respond& respond) {
  const std::string file = absl::StrCat("spool/", call.contribution.site());
  if (CrashesHere("while a contribution arrives")) return;
  if (!disk_.Write({{file, call.blob}}, Sync::kYes).ok) return Fail("the spool cannot be written");
  // The check of the whole runs on another thread.
  After(world_->random.Between(1, 50), [this, call, respond] { CheckAndStore(call, respond); });
}

Refusal SimulatedCoordinator::CheckBytes(const PushCall& call, double* norm) const {
  const std::string* base = disk_.Read(VectorFile(call.contribution.base_digest()));
  if (base == nullptr) {
    if (!world_->mutation.checks_contributions) return {};
    return MakeRefusal(Refusal::WRONG_ROUND, "the round is closed");
  }
  const uint32_t fragment = call.contribution.context().fragment();
  const Part part = world_->scenario.part(fragment);
  const uint64_t elements = world_->scenario.range(fragment).size;
  const absl::StatusOr<Vector> z = ReadPlainBlob(*base, part);
  if (!z.ok()) return MakeRefusal(Refusal::WRONG_ROUND, "its base is of another fragment");
  const absl::StatusOr<Vector> x = DecodeBlob(world_->scenario.up, call.blob, elements, *z,
                                              call.contribution.base_digest(), part);
  if (absl::IsInvalidArgument(x.status())) {
    return MakeRefusal(Refusal::NOT_FINITE, std::string(x.status().message()));
  }
  if (!x.ok()) return MakeRefusal(Refusal::MALFORMED, std::string(x.status().message()));
  *norm = std::sqrt(kernels::SquaredDistance(x->data(), z->data(), elements));
  if (*norm <= manifest().rounds().update_norm_max()) return {};
  return MakeRefusal(Refusal::NORM_TOO_LARGE, absl::StrCat("the update's norm is ", *norm));
}

void SimulatedCoordinator::CheckAndStore(const PushCall& call, const Respond& respond) {
  const Contribution& contribution = call.contribution;
  const std::string& site = contribution.site();
  if (const std::optional<PushReply> known = FindReceipt(call); known.has_value()) {
    return AnswerPush(call, *known, respond);
  }
  StoredContribution stored;
  double norm = 0;
  Refusal refusal;
  if (world_->mutation.checks_bytes) refusal = CheckBytes(call, &norm);
  if (IsRefused(refusal)) {
    if (!Handle(CallRefused{site, refusal})) return;
    PushReply reply;
    *reply.mutable_refusal() = refusal;
    return AnswerPush(call, reply, respond);
  }
  const std::string file = ContributionFile(contribution.round(), contribution.blob_digest());
  if (!disk_.Write({{file, call.blob}}, Sync::kYes).ok) return Fail("a contribution's file");
  if (CrashesHere("between a contribution's name and its commit")) return;
  stored.set_site(site);
  stored.set_digest(contribution.blob_digest());
  stored.set_bytes(contribution.blob_bytes());
  stored.set_encoding(contribution.encoding());
  stored.set_update_norm(norm);
  stored.set_inner_steps(contribution.inner_steps());
  stored.set_token_count(contribution.token_count());
  stored.set_base_version(contribution.context().base_version());
  stored.set_base_digest(contribution.base_digest());
  stored.set_primal_residual(contribution.primal_residual());
  stored.set_validation_before(contribution.validation_before());
  stored.set_validation_after(contribution.validation_after());
  const Outcome outcome = Handle(ContributionArrived{contribution.round(), stored, "signed"});
  if (!outcome.has_value()) return;
  disk_.RemoveFile(absl::StrCat("spool/", site));
  PushReply reply;
  for (const Effect& effect : *outcome) {
    if (const auto* accept = std::get_if<Accept>(&effect)) reply = Stored(accept->receipt_digest);
  }
  if (const Refusal refused = RefusalAmong(*outcome); IsRefused(refused)) {
    *reply.mutable_refusal() = refused;
  }
  AnswerPush(call, reply, respond);
}

void SimulatedCoordinator::On(int site, const ReportRequest& call, const Respond& respond) {
  const Refusal refusal = CheckCaller(site, call.report().context(), true);
  const Outcome outcome = IsRefused(refusal)
                              ? Handle(CallRefused{SiteName(site), refusal})
                              : Handle(ReportReceived{SiteName(site), call.report()});
  if (!outcome.has_value()) return;
  ReportReply reply;
  if (const Refusal refused = RefusalAmong(*outcome); IsRefused(refused)) {
    *reply.mutable_refusal() = refused;
  }
  respond(reply);
}

void SimulatedCoordinator::On(int site, const LeaveRequest& call, const Respond& respond) {
  const Refusal refusal = CheckCaller(site, call.context(), true);
  const Outcome outcome =
      IsRefused(refusal)
          ? Handle(CallRefused{SiteName(site), refusal})
          : Handle(SiteLeft{SiteName(site), call.context().session_id(), call.reason()});
  if (!outcome.has_value()) return;
  LeaveReply reply;
  if (const Refusal refused = RefusalAmong(*outcome); IsRefused(refused)) {
    *reply.mutable_refusal() = refused;
  }
  respond(reply);
}

}  // namespace weft::simulation
