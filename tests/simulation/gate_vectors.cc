// The simulated gate's own vectors: what a contribution is made of, what encodings have lost, and
// with a dual what the coordinator has, as worker/gate/site_driver_work.cc and site_vectors.cc do
// it, in memory and on the simulated disk.
#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/simulation/simulated_gate.h"
#include "worker/gate/site_vectors.h"

namespace weft::simulation {
namespace {

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }
std::string OwnFile(const std::string& digest) { return "own/" + digest; }
std::string CopyFile(const std::string& digest) { return "copy/" + digest; }
// A statement's file: a digest in the place of the signature, then what is signed.
std::string Signed(const std::string& file) {
  return file.size() < sizeof(Digest) ? "" : file.substr(sizeof(Digest));
}
std::string StatementFile(uint64_t round) { return absl::StrCat("statement/", round); }

double Distance(const Vector& x, const Vector& z) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += std::pow(double{x[i]} - double{z[i]}, 2);
  return std::sqrt(sum);
}

}  // namespace

std::optional<Vector> SimulatedGate::ReadWhole(const std::string& file, const std::string& digest,
                                               Part part) const {
  if (digest.empty() || !HoldsWhole(file, digest)) return std::nullopt;
  absl::StatusOr<Vector> x = ReadPlainBlob(*disk_.Read(file), part);
  if (!x.ok()) return std::nullopt;
  return *std::move(x);
}

// Empty where the disk failed: the gate has ended then.
std::string SimulatedGate::KeepOwn(const Vector& x, Part part, bool with_copy) {
  std::string blob = PlainBlob(x, part);
  const std::string digest = Hex(DigestOf(blob));
  world_->checkers.feedback().Keeps(digest, x);
  // Operators make copies of what cannot be computed again.
  if (with_copy && !Write(CopyFile(digest), blob)) return "";
  return Write(OwnFile(digest), std::move(blob)) ? digest : "";
}

// The initial consensus, until a contribution has counted: the coordinator's sum starts from it.
std::string SimulatedGate::SentOrInitial() const {
  const std::string& sent = machine_->state().sent_digest();
  return sent.empty() ? Hex(world_->checkers.versions()[0].digest) : sent;
}

// Without what the coordinator has of this site no change can be formed, ever: the gate ends, and
// its operator brings it back from a copy.
bool SimulatedGate::HoldSent() {
  const std::string sent = SentOrInitial();
  if (HoldsWhole(OwnFile(sent), sent)) return true;
  if (machine_->state().sent_digest().empty()) {
    return !KeepOwn(world_->checkers.versions()[0].z, {}, false).empty();
  }
  const std::string* copy = disk_.Read(CopyFile(sent));
  WEFT_CHECK(copy != nullptr);
  if (Write(OwnFile(sent), *copy))
    EndWith("disk: what the coordinator has of it is damaged", false);
  return false;
}

SimulatedGate::Came SimulatedGate::Do(const site::PrepareDual& effect) {
  const std::string base = Hex(effect.round.base_digest());
  const std::optional<Vector> z = ReadWhole(BaseFile(base), base, {});
  std::optional<Vector> u = ReadWhole(OwnFile(effect.dual), effect.dual, {});
  const std::optional<Vector> x = ReadWhole(SiteVectorFile(effect.vector), effect.vector, {});
  if (!HoldSent()) return std::nullopt;
  if (!z.has_value()) {
    EndWith("disk: the base is damaged", false);
    return std::nullopt;
  }
  site::DualReady ready{base, u.has_value() ? effect.dual : "", ""};
  if (x.has_value() || (u.has_value() && effect.scale != 1)) {
    if (!u.has_value()) u.emplace(z->size());
    for (size_t i = 0; i < u->size(); ++i) {
      double next = (*u)[i];
      if (x.has_value()) next += double{(*x)[i]} - double{(*z)[i]};
      (*u)[i] = static_cast<float>(next * effect.scale);
    }
    ready.dual = KeepOwn(*u, {}, false);
    if (!up()) return std::nullopt;
  }
  if (!u.has_value()) return ready;
  Vector anchor = *z;
  for (size_t i = 0; i < anchor.size(); ++i) anchor[i] = (*z)[i] - (*u)[i];
  std::string blob = PlainBlob(anchor, {});
  ready.anchor = Hex(DigestOf(blob));
  if (!Write(BaseFile(ready.anchor), std::move(blob))) return std::nullopt;
  return ready;
}

// What is sent: x + e, or with a dual z + (x + u) - sent. No value: it cannot be formed.
std::optional<SimulatedGate::Formed> SimulatedGate::Form(const site::FormContribution& effect) {
  const Scenario& scenario = world_->scenario;
  const uint32_t fragment = effect.round.context().fragment();
  const Part part = scenario.part(fragment);
  const bool dual = scenario.manifest.consensus().dual();
  const std::string& digest = effect.result.vector_digest();
  const std::string base = Hex(effect.round.base_digest());
  const auto x = ReadWhole(SiteVectorFile(digest), digest, part);
  const auto z = ReadWhole(BaseFile(base), base, part);
  const std::string had = SentOrInitial();
  const auto sent = dual ? ReadWhole(OwnFile(had), had, part) : std::nullopt;
  const auto u = ReadWhole(OwnFile(effect.dual), effect.dual, part);
  if (!x || !z || (dual && (!sent || (!effect.dual.empty() && !u)))) return std::nullopt;
  // A damaged residual is left out.
  const auto e = ReadWhole(OwnFile(effect.residual), effect.residual, part);

  Formed formed;
  Vector whole = *x;
  for (size_t i = 0; i < whole.size(); ++i) {
    if (e) whole[i] = (*x)[i] + (*e)[i];
    if (!dual) continue;
    const double change = double{(*x)[i]} + (u ? double{(*u)[i]} : 0) - double{(*sent)[i]};
    whole[i] = static_cast<float>(double{(*z)[i]} + change);
  }
  const auto blob = EncodeBlob(scenario.up, whole, *z, effect.round.base_digest(), part);
  if (!blob.ok()) return std::nullopt;
  formed.blob = *blob;
  formed.primal_residual = dual ? Distance(*x, *z) : 0;
  const Vector decoded =
      *DecodeBlob(scenario.up, formed.blob, whole.size(), *z, effect.round.base_digest(), part);
  const double kept = ResidualKept(scenario.manifest.consensus(), scenario.up);
  for (size_t i = 0; i < whole.size(); ++i) {
    if (kept != 0) {
      const double lost = kept * (double{whole[i]} - double{decoded[i]});
      formed.residual.push_back(static_cast<float>(lost));
    }
    if (!dual) continue;
    const double has = double{(*sent)[i]} + (double{decoded[i]} - double{(*z)[i]});
    formed.sent.push_back(static_cast<float>(has));
  }
  world_->checkers.feedback().Formed(name_, effect.round.context().base_version(),
                                     DigestOf(formed.blob), *x, *z,
                                     /*residual_lost=*/!effect.residual.empty() && !e);
  return formed;
}

SimulatedGate::Came SimulatedGate::Do(const site::FormContribution& effect) {
  std::optional<Formed> formed;
  if (!effect.formed.empty() && HoldsWhole(OwnFile(effect.formed), effect.formed)) {
    formed = Formed{.blob = *disk_.Read(OwnFile(effect.formed)),
                    .primal_residual = effect.formed_primal_residual};
  } else {
    if (!effect.formed.empty()) world_->checkers.ContributionLost(name_, effect.formed);
    formed = Form(effect);
  }
  if (!formed.has_value()) return site::ResultUnusable{"a vector is missing, damaged, not finite"};
  const Part part = world_->scenario.part(effect.round.context().fragment());
  Contribution statement;
  *statement.mutable_context() = context_;
  statement.mutable_context()->clear_session_id();
  statement.mutable_context()->set_base_version(effect.round.context().base_version());
  statement.mutable_context()->set_fragment(part.fragment);
  statement.mutable_context()->set_fragment_count(part.count);
  statement.set_site(name_);
  statement.set_round(effect.round.round());
  statement.set_base_digest(effect.round.base_digest());
  statement.set_layout_digest(ToBytes(Layout()));
  statement.set_encoding(std::string(EncodingName(world_->scenario.up)));
  statement.set_blob_digest(DigestOf(formed->blob));
  statement.set_blob_bytes(formed->blob.size());
  statement.set_inner_steps(effect.result.inner_steps());
  statement.set_token_count(effect.result.token_count());
  statement.set_primal_residual(formed->primal_residual);
  statement.set_validation_before(effect.result.validation_before());
  statement.set_validation_after(effect.result.validation_after());
  site::ContributionFormed event{Hex(statement.blob_digest()), formed->blob.size(), "", "",
                                 formed->primal_residual};
  if (!formed->residual.empty()) event.residual = KeepOwn(formed->residual, part, false);
  if (up() && !formed->sent.empty()) event.sent = KeepOwn(formed->sent, part, true);
  if (!up() || !Write(OwnFile(event.blob_digest), formed->blob)) return std::nullopt;
  if (CrashesHere("between a contribution and its statement")) return std::nullopt;
  const std::string bytes = statement.SerializeAsString();
  if (!Write(StatementFile(effect.round.round()), DigestOf(bytes) + bytes)) return std::nullopt;
  return event;
}

SimulatedGate::Came SimulatedGate::Do(const site::PushContribution& effect) {
  PushCall call{.context = context_, .signer = name_};
  const std::string* statement = disk_.Read(StatementFile(effect.round.round()));
  const std::string& own = machine_->state().contribution_blob();
  // A damaged statement is one whose signature does not fit.
  const bool whole = HoldsWhole(OwnFile(own), own) && statement != nullptr &&
                     DigestOf(Signed(*statement)) == statement->substr(0, sizeof(Digest));
  if (!whole) {
    Came came = Do(site::FormingOf(machine_->state()));
    if (!up() || (came.has_value() && std::holds_alternative<site::ResultUnusable>(*came))) {
      return came;
    }
    if (!HoldsWhole(OwnFile(own), own)) return site::ResultUnusable{"it has other bytes now"};
    statement = disk_.Read(StatementFile(effect.round.round()));
  }
  WEFT_CHECK(call.contribution.ParseFromString(Signed(*statement)));
  if (Hex(call.contribution.blob_digest()) != own) {
    return site::ResultUnusable{"formed again it has other bytes than before"};
  }
  call.blob = *disk_.Read(OwnFile(own));
  GateState durable;
  const std::string* bytes = disk_.ReadDurable("gate_state");
  if (bytes != nullptr && !durable.ParseFromString(*bytes)) durable.Clear();
  world_->checkers.Sent(name_, call, &durable);
  StartCall(std::move(call), [](const Answer& answer) -> Came {
    const PushReply& reply = std::get<PushReply>(answer);
    if (reply.has_refusal()) return site::Refused{site::Operation::kPush, reply.refusal()};
    return site::ContributionStored{Hex(reply.receipt_digest())};
  });
  return std::nullopt;
}

// Every round that is sent has its own statement; that of the round which begins is written later.
void SimulatedGate::RemoveOwn(const std::vector<std::string>& keep) {
  std::vector<std::string> needed = keep;
  if (world_->scenario.manifest.consensus().dual()) needed.push_back(SentOrInitial());
  for (const char* folder : {"own/", "copy/"}) {
    for (const std::string& file : disk_.List(folder)) {
      bool stays = false;
      for (const std::string& digest : needed) stays = stays || file == folder + digest;
      if (!stays) disk_.RemoveFile(file);
    }
  }
  for (const std::string& file : disk_.List("statement/")) disk_.RemoveFile(file);
}

}  // namespace weft::simulation
