// A site's orders: from the round's event to the solver, and back as a result.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "model/parameters/fragment_range.h"
#include "model/parameters/fragments.h"
#include "proto/round_schedule.h"
#include "tests/testing/in_process_site.h"
#include "worker/core/site_messages.h"

namespace weft::testing {

InProcessSite::Came InProcessSite::Do(const site::WriteOrder& effect) {
  // In a turn of its own: the effects that come with this one clean up what the solver would use.
  shared_.scheduler->After(0, [this, round = effect.round] { BeginOrder(round); });
  return std::nullopt;
}

// How long the order takes is known as it begins, so the steps that a cut leaves are known as well.
void InProcessSite::BeginOrder(const RoundEvent& round) {
  RoundOrder order = site::MakeOrder(manifest(), totals_.name, machine_.state(), round);
  const uint64_t ticket = ++ticket_;
  if (work_.valid()) work_.wait();
  work_ = {};
  double seconds =
      shared_.options->seconds ? shared_.options->seconds(number_, order) : order.inner_steps();
  if (!std::isfinite(seconds)) return;
  const auto now_ms = static_cast<double>(shared_.scheduler->now_ms());
  const auto cut_ms = static_cast<double>(round.cut_unix_ms() - kStartUnixMs);
  if (round.cut_unix_ms() > 0 && now_ms + 1000 * seconds > cut_ms) {
    const double step_ms = 1000 * seconds / order.inner_steps();
    const auto done = static_cast<uint32_t>(std::max(0.0, (cut_ms - now_ms) / step_ms));
    order.set_steps_enough(std::clamp(done, round.inner_steps_min(), order.inner_steps()));
    seconds = order.steps_enough() * step_ms / 1000;
  }
  work_ = shared_.threads->Do([this, order] { return DoOrder(order); });
  shared_.scheduler->After(static_cast<int64_t>(std::ceil(1000 * seconds)),
                           [this, order, ticket] { FinishOrder(order, ticket); });
}

absl::StatusOr<ParameterVector> InProcessSite::ReadVector(const std::string& hex,
                                                          VectorHeader expected) const {
  const absl::StatusOr<Digest> digest = DigestFromHex(hex);
  if (!digest.ok()) return digest.status();
  absl::StatusOr<VectorReader> reader = VectorReader::Open(site_blobs_.PathOf(*digest));
  if (!reader.ok()) return reader.status();
  if (PrintVectorHeader(reader->header()) != PrintVectorHeader(expected)) {
    return absl::InvalidArgumentError(absl::StrCat(hex, ": not the vector that the order means"));
  }
  ParameterVector vector(expected.element_count);
  if (absl::Status status = reader->Read(0, {}, vector.span()); !status.ok()) return status;
  return vector;
}

absl::StatusOr<Bases> InProcessSite::ReadAll(const RoundOrder& order) const {
  const Digest& layout = shared_.options->layout.digest();
  const uint64_t elements = shared_.options->layout.element_count();
  Bases bases;
  const auto read = [&](const std::string& hex, uint32_t count, uint32_t fragment,
                        ParameterVector* into) {
    absl::StatusOr<ParameterVector> vector =
        ReadVector(hex, FragmentHeader(layout, elements, count, fragment));
    if (vector.ok()) *into = *std::move(vector);
    return vector.status();
  };
  const uint32_t count = FragmentCount(order.consensus());
  bases.fragments.resize(count > 1 ? count : 0);
  absl::Status status;
  for (uint32_t f = 0; f < bases.fragments.size() && status.ok(); ++f) {
    status = read(order.fragment_digests(static_cast<int>(f)), count, f, &bases.fragments[f]);
  }
  if (status.ok() && count == 1) status = read(order.base_digest(), 1, 0, &bases.base);
  if (status.ok() && !order.anchor_digest().empty()) {
    status = read(order.anchor_digest(), 1, 0, &bases.anchor);
  }
  if (!status.ok()) return status;
  return bases;
}

absl::StatusOr<InProcessSite::Done> InProcessSite::DoOrder(const RoundOrder& order) {
  absl::StatusOr<Bases> bases = ReadAll(order);
  if (!bases.ok()) return bases.status();
  absl::StatusOr<Solution> solution = solver_->Solve(order, *std::move(bases));
  if (!solution.ok()) return solution.status();
  Done done{.solution = *std::move(solution)};
  const absl::Span<const float> w = solver_->vector();
  done.vector = ParameterVector(w.size());
  std::copy(w.begin(), w.end(), done.vector.data());
  const uint32_t count = FragmentCount(order.consensus());
  const FragmentRange range = RangeOfFragment(w.size(), count, order.fragment());
  const absl::StatusOr<Digest> written = WriteVector(
      site_blobs_,
      FragmentHeader(shared_.options->layout.digest(), w.size(), count, order.fragment()),
      w.subspan(range.begin, range.size), {});
  if (!written.ok()) return written.status();
  done.result = *written;
  return done;
}

void InProcessSite::FinishOrder(const RoundOrder& order, uint64_t ticket) {
  if (ticket != ticket_ || finished_) return;
  absl::StatusOr<Done> done = work_.get();
  if (!done.ok()) return Fail(done.status());
  RoundResult result;
  result.set_protocol_version(order.protocol_version());
  result.set_run_id(order.run_id());
  result.set_round(order.round());
  result.set_base_digest(order.base_digest());
  result.set_vector_digest(ToHex(done->result));
  result.set_inner_steps(done->solution.inner_steps);
  result.set_token_count(done->solution.token_count);
  result.set_first_loss(done->solution.first_loss);
  result.set_last_loss(done->solution.last_loss);
  result.set_validation_before(done->solution.validation_before);
  result.set_validation_after(done->solution.validation_after);
  result.set_seconds_training(done->solution.seconds);
  ++orders_done_;
  totals_.vector = std::move(done->vector);
  totals_.inner_steps += result.inner_steps();
  totals_.token_count += result.token_count();
  totals_.last_loss = result.last_loss();
  Feed(site::ResultSeen{std::move(result)});
}

}  // namespace weft::testing
