#include "tests/simulation/hostile_site.h"

#include <cstring>
#include <limits>

namespace weft::simulation {

namespace {

// What stands before all else is a bf16: a change, or a block's scale.
bool IsBf16Wide(VectorFormat format) {
  return format != Encoding::kParametersFp32 && format != Encoding::kDeltaInt8;
}

}  // namespace

void HostileSite::Start() {
  world_->scheduler.After(world_->random.Between(0, 3000), [this] { Act(); });
}

void HostileSite::Send(Call call, std::function<void(const Answer&)> then) {
  const auto shared = std::make_shared<const Call>(std::move(call));
  const auto respond = [world = world_, site = number_, then = std::move(then)](Answer answer) {
    const auto reply = std::make_shared<const Answer>(std::move(answer));
    world->network.Send(site, [then, reply] { then(*reply); });
  };
  world_->network.Send(number_, [world = world_, site = number_, shared, respond] {
    world->coordinator->Receive(site, *shared, respond);
  });
}

void HostileSite::Act() {
  // When the faults end it falls silent, and nobody is to wait for it.
  if (world_->faults.over()) {
    if (stream_ != 0) world_->coordinator->WatchEnded(stream_);
    stream_ = 0;
    return;
  }
  world_->scheduler.After(world_->random.Between(200, 3000), [this] { Act(); });
  if (!joined_ || world_->random.Chance(0.03)) return Join();
  if (stream_ == 0) {
    stream_ = world_->next_stream++;
    world_->network.Send(number_,
                         [world = world_, site = number_, context = context_, stream = stream_] {
                           world->coordinator->OpenWatch(site, context, stream);
                         });
  }
  if (now_.phase() == RoundEvent::OPEN) Push();
}

void HostileSite::Join() {
  JoinRequest request;
  request.mutable_context()->set_protocol_version(1);
  request.mutable_context()->set_run_id(world_->scenario.manifest.run_id());
  request.set_site(name_);
  Send(request, [this](const Answer& answer) {
    const JoinReply& reply = std::get<JoinReply>(answer);
    if (reply.has_refusal()) return;
    joined_ = true;
    context_ = reply.context();
    now_ = reply.now();
  });
}

void HostileSite::ReceiveEvent(uint64_t stream, const RoundEvent& event) {
  if (stream != stream_) return;
  if (event.has_refusal()) {
    joined_ = false;
    stream_ = 0;
    return;
  }
  now_ = event;
}

void HostileSite::SetVector(PushCall* call, const Vector& x, const PlainConsensus& base) {
  call->blob = *EncodeBlob(world_->scenario.up, x, base.z, base.digest,
                           world_->scenario.part(base.fragment));
  call->contribution.set_blob_digest(DigestOf(call->blob));
  call->contribution.set_blob_bytes(call->blob.size());
}

void HostileSite::Push() {
  const PlainConsensus& base =
      *world_->checkers.FindBase(now_.context().base_version(), now_.base_digest());
  PushCall call{.context = context_, .signer = name_};
  Contribution& statement = call.contribution;
  *statement.mutable_context() = context_;
  statement.mutable_context()->clear_session_id();
  statement.mutable_context()->set_base_version(now_.context().base_version());
  statement.mutable_context()->set_fragment(base.fragment);
  statement.mutable_context()->set_fragment_count(world_->scenario.fragments());
  statement.set_site(name_);
  statement.set_round(now_.round());
  statement.set_base_digest(base.digest);
  statement.set_layout_digest(ToBytes(Layout()));
  statement.set_encoding(std::string(EncodingName(world_->scenario.up)));
  statement.set_inner_steps(now_.inner_steps());
  if (world_->random.Chance(0.8)) statement.set_token_count(now_.inner_steps());
  SetVector(&call, Train(world_->scenario.seed, name_, now_.context().base_version(), base.z),
            base);
  if (world_->random.Chance(0.75)) {
    world_->faults.Count(Fault::kHostileAct);
    Spoil(&call);
  }
  world_->checkers.Sent(name_, call, nullptr);
  Send(std::move(call), [](const Answer&) {});
}

void HostileSite::Spoil(PushCall* call) {
  Contribution& statement = call->contribution;
  const auto& versions = world_->checkers.versions();
  const PlainConsensus& base =
      *world_->checkers.FindBase(statement.context().base_version(), statement.base_digest());
  Vector x = base.z;
  switch (world_->random.Below(11)) {
    case 0: {  // not finite: the first element's bytes, or its block's scale, are all ones
      std::memset(&call->blob[kVectorHeaderBytes], 0xff, IsBf16Wide(world_->scenario.up) ? 2 : 4);
      statement.set_blob_digest(DigestOf(call->blob));
      return;
    }
    case 1:  // far away
      x[0] += 1000.0f;
      return SetVector(call, x, base);
    case 2:  // another one for the same base
      x[0] += static_cast<float>(world_->random.Unit());
      return SetVector(call, x, base);
    case 3: {  // from an older base, under this round's number
      const uint64_t version = world_->random.Below(versions.size());
      const PlainConsensus& old = versions[version];
      statement.set_base_digest(old.digest);
      x = Train(world_->scenario.seed, name_, version, old.z);
      return SetVector(call, x, old);
    }
    case 4:  // from a base of its own
      statement.set_base_digest(DigestOf("no consensus"));
      return;
    case 5: {  // an epoch that is over, or that has not begun
      const uint64_t epoch = statement.context().coordinator_epoch();
      const uint64_t other = world_->random.Chance(0.5) ? epoch + 1 : epoch - 1;
      call->context.set_coordinator_epoch(other);
      statement.mutable_context()->set_coordinator_epoch(other);
      return;
    }
    case 6:  // in another's name
      statement.set_site(SiteName(world_->scenario.hostile_count));
      return;
    case 7:  // with another's signature, as if it had been copied
      call->signer = SiteName(world_->scenario.hostile_count);
      return;
    case 9:  // more work than the round can have been
      if (world_->random.Chance(0.5)) {
        statement.set_inner_steps(UINT32_MAX);
      } else {
        statement.set_token_count(UINT64_MAX);
      }
      return;
    case 8:  // other bytes than were signed
      call->blob.back() = static_cast<char>(call->blob.back() ^ 1);
      return;
    default:  // for a round that is over, or that has not begun
      statement.set_round(statement.round() + (world_->random.Chance(0.5) ? 1 : uint64_t(-1)));
      return;
  }
}

}  // namespace weft::simulation
