// Who watches the simulated coordinator, and what operators do to it.
#include "coordinator/core/round_view.h"
#include "tests/simulation/simulated_coordinator.h"

namespace weft::simulation {

void SimulatedCoordinator::OpenWatch(int site, const MessageContext& context, uint64_t stream) {
  if (!up()) return;
  watches_[stream] = {site, context};
  if (!IsRefused(CheckCaller(site, context, true)) &&
      !Handle(SiteResumed{SiteName(site), context.session_id()})) {
    return;
  }
  Tell(stream);
}

void SimulatedCoordinator::WatchEnded(uint64_t stream) {
  const auto found = watches_.find(stream);
  if (!up() || found == watches_.end()) return;
  const Watch watch = found->second;
  watches_.erase(found);
  world_->network.Close(stream);
  Handle(SiteLost{SiteName(watch.site), watch.context.session_id()});
}

void SimulatedCoordinator::FlushSoon() {
  if (flush_is_due_) return;
  flush_is_due_ = true;
  After(world_->random.Between(1, 20), [this] {
    flush_is_due_ = false;
    Flush();
  });
}

void SimulatedCoordinator::Flush() {
  std::vector<uint64_t> streams;
  for (const auto& [stream, watch] : watches_) streams.push_back(stream);
  for (const uint64_t stream : streams) {
    if (up() && watches_.count(stream) > 0) Tell(stream);
  }
}

void SimulatedCoordinator::Tell(uint64_t stream) {
  const Watch watch = watches_.at(stream);
  const std::string name = SiteName(watch.site);
  const Refusal refusal = CheckCaller(watch.site, watch.context, true);
  auto event = std::make_shared<RoundEvent>();
  if (IsRefused(refusal)) {
    *event->mutable_refusal() = refusal;
    watches_.erase(stream);
    if (!Handle(CallRefused{name, refusal})) return;
  } else {
    *event = RoundEventFor(manifest(), machine_->state(), name, watch.context.session_id());
    world_->mutation.told(event.get());
    world_->checkers.Told(name, *event);
  }
  const bool sent =
      world_->network.SendInOrder(watch.site, stream, [world = world_, stream, watch, event] {
        world->sites[static_cast<size_t>(watch.site)]->ReceiveEvent(stream, *event);
      });
  // The coordinator's system learns late that nobody reads.
  if (!sent) {
    After(world_->random.Between(100, 20'000), [this, stream] { WatchEnded(stream); });
  }
}

void SimulatedCoordinator::Revoke(const std::string& site) {
  if (!up()) return;
  Membership membership = machine_->state().membership();
  membership.set_version(membership.version() + 1);
  for (MemberSite& member : *membership.mutable_sites()) {
    if (member.name() == site) member.set_revoked(true);
  }
  Handle(MembershipChanged{membership});
}

void SimulatedCoordinator::Pause() {
  if (up()) Handle(OperatorPaused{"an operator looks at something"});
}

void SimulatedCoordinator::Resume() {
  if (!up()) {
    world_->scheduler.After(1000, [this] { Resume(); });
  } else if (machine_->state().has_pause()) {
    Handle(OperatorResumed{"it was looked at"});
    // A crash before the commit leaves it paused.
    if (!up()) Resume();
  }
}

}  // namespace weft::simulation
