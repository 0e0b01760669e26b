#include "worker/training/order_bases.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/digest.h"
#include "proto/round_schedule.h"

namespace weft {
namespace {

absl::Status Named(const absl::Status& status, const std::string& what, const std::string& digest) {
  return absl::Status(status.code(), absl::StrCat(what, " ", digest, ": ", status.message()));
}

absl::StatusOr<ParameterVector> ReadWhole(const SiteDirectory& site, const ParameterLayout& layout,
                                          const std::string& what, const std::string& hex) {
  const absl::StatusOr<Digest> digest = DigestFromHex(hex);
  if (!digest.ok()) return Named(digest.status(), what, hex);
  absl::StatusOr<ParameterVector> vector = site.ReadVector(*digest, layout.digest());
  if (!vector.ok()) return Named(vector.status(), what, hex);
  if (vector->size() != layout.element_count()) {
    return absl::InvalidArgumentError(absl::StrCat(what, " ", hex, ": has ", vector->size(),
                                                   " elements, the model has ",
                                                   layout.element_count()));
  }
  return vector;
}

}  // namespace

bool SameWork(const RoundOrder& a, const RoundOrder& b) {
  return a.run_id() == b.run_id() && a.round() == b.round() && a.base_digest() == b.base_digest() &&
         a.first_step() == b.first_step() && a.first_sample_step() == b.first_sample_step() &&
         a.inner_steps() == b.inner_steps() && a.anchor_digest() == b.anchor_digest() &&
         a.rho() == b.rho() && a.fragment() == b.fragment() &&
         std::equal(a.fragment_digests().begin(), a.fragment_digests().end(),
                    b.fragment_digests().begin(), b.fragment_digests().end());
}

absl::StatusOr<Bases> ReadBases(const SiteDirectory& site, const RoundOrder& order,
                                const ParameterLayout& layout, absl::Span<const uint32_t> wanted) {
  Bases bases;
  const uint32_t count = FragmentCount(order.consensus());
  if (!order.anchor_digest().empty()) {
    absl::StatusOr<ParameterVector> anchor =
        ReadWhole(site, layout, "the anchor", order.anchor_digest());
    if (!anchor.ok()) return anchor.status();
    bases.anchor = *std::move(anchor);
  }
  if (count == 1) {
    if (wanted.empty()) return bases;
    absl::StatusOr<ParameterVector> base = ReadWhole(site, layout, "the base", order.base_digest());
    if (!base.ok()) return base.status();
    bases.base = *std::move(base);
    return bases;
  }
  bases.fragments.resize(count);
  for (uint32_t g : wanted) {
    const std::string& hex = order.fragment_digests(static_cast<int>(g));
    const std::string what = absl::StrCat("fragment ", g);
    const absl::StatusOr<Digest> digest = DigestFromHex(hex);
    if (!digest.ok()) return Named(digest.status(), what, hex);
    absl::StatusOr<ParameterVector> elements =
        site.ReadFragment(*digest, layout.digest(), {layout.element_count(), count, g});
    if (!elements.ok()) return Named(elements.status(), what, hex);
    bases.fragments[g] = *std::move(elements);
  }
  return bases;
}

}  // namespace weft
