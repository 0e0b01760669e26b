#include "tests/simulation/simulated_network.h"

#include <algorithm>
#include <utility>

namespace weft::simulation {

int64_t SimulatedNetwork::Delay() {
  int64_t delay = random_.Between(1, delay_ms_max_);
  if (faults_->Happens(Fault::kMessageDelayed)) delay += random_.Between(1, 20'000);
  return delay;
}

void SimulatedNetwork::Deliver(int site, int64_t after_ms, std::function<void()> deliver) {
  scheduler_->After(after_ms, [this, site, deliver = std::move(deliver)] {
    if (!IsCut(site)) deliver();
  });
}

void SimulatedNetwork::Send(int site, std::function<void()> deliver) {
  if (IsCut(site) || faults_->Happens(Fault::kMessageLost)) return;
  if (faults_->Happens(Fault::kMessageDoubled)) Deliver(site, Delay(), deliver);
  Deliver(site, Delay(), std::move(deliver));
}

bool SimulatedNetwork::SendInOrder(int site, uint64_t stream, std::function<void()> deliver) {
  Stream& state = streams_[stream];
  if (IsCut(site) || faults_->Happens(Fault::kStreamBroken)) state.broken = true;
  if (state.broken) return false;
  state.newest_ms = std::max(state.newest_ms, scheduler_->now_ms() + Delay());
  scheduler_->After(state.newest_ms - scheduler_->now_ms(),
                    [this, site, stream, deliver = std::move(deliver)] {
                      Stream& now = streams_[stream];
                      if (IsCut(site)) now.broken = true;
                      if (!now.broken) deliver();
                    });
  return true;
}

void SimulatedNetwork::CutOff(int site, int64_t for_ms) {
  cut_until_ms_[static_cast<size_t>(site)] = scheduler_->now_ms() + for_ms;
}

void SimulatedNetwork::HealAll() { std::fill(cut_until_ms_.begin(), cut_until_ms_.end(), 0); }

}  // namespace weft::simulation
