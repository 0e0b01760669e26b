#include "worker/training/base_mixer.h"

#include <algorithm>
#include <utility>

#include "model/parameters/fragment_range.h"
#include "proto/check.h"
#include "proto/round_schedule.h"
#include "worker/training/schedule.h"

namespace weft {
namespace {

bool MixesPrevious(const RoundOrder& order) { return order.consensus().mix_with() == "previous"; }

std::vector<std::string> FragmentDigests(const RoundOrder& order) {
  if (FragmentCount(order.consensus()) == 1) return {order.base_digest()};
  return {order.fragment_digests().begin(), order.fragment_digests().end()};
}

// The whole vector is the only fragment of one.
std::vector<ParameterVector> Fragments(const RoundOrder& order, Bases bases) {
  if (FragmentCount(order.consensus()) > 1) return std::move(bases.fragments);
  std::vector<ParameterVector> fragments;
  fragments.push_back(std::move(bases.base));
  return fragments;
}

void Mix(double alpha, absl::Span<const float> z, absl::Span<float> w) {
  const float part = static_cast<float>(alpha);
  if (part == 1) {
    std::copy(z.begin(), z.end(), w.begin());
  } else if (part != 0) {
    for (size_t i = 0; i < w.size(); ++i) w[i] = w[i] + part * (z[i] - w[i]);
  }
}

}  // namespace

bool IsOverlapped(const ConsensusScheme& scheme) {
  return FragmentCount(scheme) > 1 || scheme.fragment_delay_steps() > 0;
}

std::vector<uint32_t> BaseMixer::Wanted(const RoundOrder& order) const {
  const std::vector<std::string> digests = FragmentDigests(order);
  const bool all = !IsOverlapped(order.consensus()) || digests.size() != taken_digests_.size() ||
                   (PullStrength(order) > 0 && z_.size() == 0);
  std::vector<uint32_t> wanted;
  for (uint32_t g = 0; g < digests.size(); ++g) {
    if (all || digests[g] != taken_digests_[g]) wanted.push_back(g);
  }
  return wanted;
}

bool BaseMixer::Holds(const RoundOrder& order, const Bases& bases) const {
  const uint32_t count = FragmentCount(order.consensus());
  if (!order.anchor_digest().empty() && bases.anchor.size() != element_count_) return false;
  for (uint32_t g : Wanted(order)) {
    if (count == 1 && bases.base.size() != element_count_) return false;
    if (count > 1 &&
        (g >= bases.fragments.size() ||
         bases.fragments[g].size() != RangeOfFragment(element_count_, count, g).size)) {
      return false;
    }
  }
  return true;
}

bool BaseMixer::Begin(const RoundOrder& order, Bases bases, uint32_t steps_done,
                      absl::Span<float> w) {
  WEFT_CHECK(Holds(order, bases));
  const bool first = order_.inner_steps() == 0;
  const bool had_previous = MixesPrevious(order_);
  const double alpha = first ? 1 : order.consensus().alpha();
  order_ = order;
  if (!IsOverlapped(order.consensus())) {
    if (first || !MixesPrevious(order)) {
      Mix(alpha, bases.base.span(), w);
    } else if (had_previous) {
      WEFT_CHECK(z_.size() == element_count_);
      Mix(alpha, z_.span(), w);
    }
    rho_ = PullStrength(order);
    z_ = KeepsZ() ? std::move(bases.base) : ParameterVector();
    anchor_ = std::move(bases.anchor);
    taken_digests_.clear();
    return taken_ = true;
  }
  waiting_ = Fragments(order, std::move(bases));
  taken_ = false;
  if (!first) return TakeWhenDue(steps_done, w);
  Take(alpha, w);
  return true;
}

bool BaseMixer::TakeWhenDue(uint32_t steps_done, absl::Span<float> w) {
  if (taken_ || steps_done != order_.consensus().fragment_delay_steps()) return false;
  Take(order_.consensus().alpha(), w);
  return true;
}

void BaseMixer::Take(double alpha, absl::Span<float> w) {
  const std::vector<std::string> digests = FragmentDigests(order_);
  const uint32_t count = static_cast<uint32_t>(digests.size());
  taken_digests_.resize(count);
  if (!KeepsZ()) {
    z_ = ParameterVector();
  } else if (z_.size() == 0) {
    z_ = ParameterVector(element_count_);
  }
  for (uint32_t g = 0; g < count; ++g) {
    if (g >= waiting_.size() || waiting_[g].size() == 0) continue;
    const FragmentRange range = RangeOfFragment(element_count_, count, g);
    const absl::Span<const float> z = waiting_[g].span();
    if (digests[g] != taken_digests_[g]) {
      Mix(alpha, z, w.subspan(range.begin, range.size));
    }
    if (z_.size() > 0) std::copy(z.begin(), z.end(), z_.data() + range.begin);
  }
  taken_digests_ = digests;
  waiting_.clear();
  rho_ = PullStrength(order_);
  taken_ = true;
}

const float* BaseMixer::target() const {
  if (rho_ == 0) return nullptr;
  return anchor_.size() > 0 ? anchor_.data() : z_.data();
}

// Whether z_ is read by a step of the order, or when the next one begins.
bool BaseMixer::KeepsZ() const {
  return MixesPrevious(order_) || (PullStrength(order_) > 0 && order_.anchor_digest().empty());
}

absl::Span<const float> BaseMixer::kept() const {
  if (MixesPrevious(order_) || IsOverlapped(order_.consensus())) return z_.span();
  return {};
}

void BaseMixer::Resume(const RoundOrder& order, Bases bases, ParameterVector kept,
                       std::vector<std::string> taken_digests, double rho, bool taken) {
  order_ = order;
  taken_digests_ = std::move(taken_digests);
  anchor_ = std::move(bases.anchor);
  if (!IsOverlapped(order.consensus())) {
    rho_ = PullStrength(order);
    taken_ = true;
    z_ = kept.size() > 0 || !KeepsZ() ? std::move(kept) : std::move(bases.base);
    return;
  }
  rho_ = rho;
  taken_ = taken;
  z_ = std::move(kept);
  if (!taken) waiting_ = Fragments(order, std::move(bases));
}

}  // namespace weft
