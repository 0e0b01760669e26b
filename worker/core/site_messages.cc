#include "worker/core/site_messages.h"

#include "absl/strings/escaping.h"
#include "proto/round_schedule.h"
#include "worker/core/site_machine.h"

namespace weft::site {

RoundOrder MakeOrder(const RunManifest& manifest, const std::string& site, const GateState& state,
                     const RoundEvent& round) {
  RoundOrder order;
  order.set_protocol_version(manifest.protocol_version());
  order.set_run_id(manifest.run_id());
  order.set_coordinator_epoch(round.context().coordinator_epoch());
  order.set_round(WorkOf(round));
  order.set_base_version(round.context().base_version());
  order.set_fragment(round.context().fragment());
  order.set_base_digest(absl::BytesToHexString(round.base_digest()));
  order.set_inner_steps(round.inner_steps());
  order.set_first_step(round.first_step());
  // With a barrier every site is at the run's step. Without one each has its own place in its data.
  order.set_first_sample_step(IsAsynchronous(manifest.consensus())
                                  ? state.work_count() * round.inner_steps()
                                  : round.first_step());
  order.set_seed(manifest.seed());
  order.set_site(site);
  *order.mutable_model() = manifest.model();
  *order.mutable_training() = manifest.training();
  *order.mutable_consensus() = manifest.consensus();
  order.set_tokenizer_sha256(manifest.tokenizer_sha256());
  order.set_total_steps(TotalSteps(manifest));
  order.set_anchor_digest(state.anchor_digest());
  order.set_rho(round.rho());
  for (const FragmentVersion& part : round.fragments())
    order.add_fragment_digests(absl::BytesToHexString(part.digest()));
  return order;
}

RoundReport MakeReport(const RoundEvent& round, const RoundResult& result) {
  RoundReport report;
  report.set_round(round.round());
  report.set_first_loss(result.first_loss());
  report.set_last_loss(result.last_loss());
  report.set_seconds_training(result.seconds_training());
  report.set_seconds_waiting(result.seconds_waiting());
  report.set_inner_steps_done(result.inner_steps());
  return report;
}

}  // namespace weft::site
