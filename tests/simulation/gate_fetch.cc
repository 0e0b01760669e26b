// How the simulated gate brings a consensus to its site, as worker/gate/base_fetch.cc does: by its
// delta where it holds what that is applied to, whole otherwise; all fragments, where there are.
#include "absl/strings/escaping.h"
#include "tests/simulation/simulated_gate.h"

namespace weft::simulation {
namespace {

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

}  // namespace

SimulatedGate::Came SimulatedGate::Do(const site::FetchBase& effect) {
  std::vector<Wanted> wanted;
  const RoundEvent& round = effect.round;
  if (round.fragments().empty()) {
    wanted.push_back({round.base_digest(), round.delta_digest(), round.delta_base_digest(), {}});
  }
  for (const FragmentVersion& part : round.fragments()) {
    const auto number = static_cast<uint32_t>(wanted.size());
    wanted.push_back({part.digest(), part.delta_digest(), part.delta_base_digest(),
                      world_->scenario.part(number)});
  }
  return FetchNext(round, std::move(wanted), effect.delta);
}

SimulatedGate::Came SimulatedGate::FetchNext(const RoundEvent& round, std::vector<Wanted> wanted,
                                             bool delta) {
  while (!wanted.empty()) {
    const std::string digest = Hex(wanted.back().digest);
    if (!HoldsWhole(BaseFile(digest), digest)) break;
    wanted.pop_back();
  }
  if (wanted.empty()) return Fetched(round);
  const Wanted next = wanted.back();
  const std::string delta_base = Hex(next.delta_base);
  const bool by_delta =
      delta && !next.delta.empty() && HoldsWhole(BaseFile(delta_base), delta_base);
  PullRequest request;
  *request.mutable_context() = context_;
  request.set_blob_digest(by_delta ? next.delta : next.digest);
  StartCall(request, [this, round, wanted, next, by_delta, delta](const Answer& answer) -> Came {
    const PullAnswer& pulled = std::get<PullAnswer>(answer);
    const bool refused = pulled.refusal.code() != Refusal::NONE;
    std::vector<Wanted> others = wanted;
    others.pop_back();
    if (by_delta) {
      if (!refused && UseDelta(next, pulled.blob)) return FetchNext(round, others, delta);
      // It does not lead to what is wanted: the whole is taken.
      return up() ? FetchNext(round, wanted, false) : std::nullopt;
    }
    if (refused) return site::Refused{site::Operation::kPull, pulled.refusal};
    if (DigestOf(pulled.blob) != next.digest) {
      return site::OperationFailed{site::Operation::kPull, "the blob is not what it was called"};
    }
    if (!Write(BaseFile(Hex(next.digest)), pulled.blob)) return std::nullopt;
    return FetchNext(round, others, delta);
  });
  return std::nullopt;
}

bool SimulatedGate::UseDelta(const Wanted& wanted, const std::string& blob) {
  const std::string* held = disk_.Read(BaseFile(Hex(wanted.delta_base)));
  if (held == nullptr) return false;
  const absl::StatusOr<Vector> z = ReadPlainBlob(*held, wanted.part);
  if (!z.ok()) return false;
  const absl::StatusOr<Vector> x =
      DecodeBlob(world_->scenario.down, blob, z->size(), *z, wanted.delta_base, wanted.part);
  if (!x.ok()) return false;
  std::string whole = PlainBlob(*x, wanted.part);
  if (DigestOf(whole) != wanted.digest && world_->mutation.verifies_base) return false;
  return Write(BaseFile(Hex(wanted.digest)), std::move(whole));
}

// At the end of the run the fragments become one vector.
SimulatedGate::Came SimulatedGate::Fetched(const RoundEvent& round) {
  site::BaseFetched fetched{Hex(round.base_digest()), ""};
  if (round.phase() != RoundEvent::FINISHED || round.fragments().empty()) return fetched;
  Vector whole;
  for (int f = 0; f < round.fragments_size(); ++f) {
    const std::string* blob = disk_.Read(BaseFile(Hex(round.fragments(f).digest())));
    // As the real gate, which looks at each once more before it makes one vector of them.
    if (blob == nullptr || DigestOf(*blob) != round.fragments(f).digest()) {
      EndWith("disk: a fragment is damaged", false);
      return std::nullopt;
    }
    const auto z = ReadPlainBlob(*blob, world_->scenario.part(static_cast<uint32_t>(f)));
    whole.insert(whole.end(), z->begin(), z->end());
  }
  fetched.assembled = Hex(DigestOf(PlainBlob(whole, {})));
  return fetched;
}

}  // namespace weft::simulation
