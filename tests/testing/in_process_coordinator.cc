#include "tests/testing/in_process_coordinator.h"

#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/round_view.h"
#include "coordinator/server/outer_step.h"
#include "coordinator/store/contribution_check.h"
#include "coordinator/tools/named_digests.h"
#include "model/parameters/fragment_range.h"
#include "model/parameters/fragments.h"
#include "proto/round_schedule.h"

namespace weft::testing {
namespace {

// The answer to a call, as it is found among the effects of its event.
template <typename Reply>
Reply ReplyOf(const std::vector<Effect>& effects) {
  Reply reply;
  for (const Effect& effect : effects) {
    if (const auto* refuse = std::get_if<Refuse>(&effect)) {
      *reply.mutable_refusal() = refuse->refusal;
    }
  }
  return reply;
}

PushReply Refused(Refusal refusal) {
  PushReply reply;
  *reply.mutable_refusal() = std::move(refusal);
  return reply;
}

Membership MembershipOf(const FederationOptions& options) {
  Membership membership;
  membership.set_protocol_version(options.manifest.protocol_version());
  membership.set_run_id(options.manifest.run_id());
  membership.set_version(1);
  for (const FederationSite& site : options.sites) {
    MemberSite* member = membership.add_sites();
    member->set_name(site.name);
    member->set_weight(site.weight);
  }
  return membership;
}

// Of each fragment; of the whole vector, where it is not cut.
absl::StatusOr<std::vector<ConsensusVersion>> InitialVersions(const FederationOptions& options,
                                                              const BlobDirectory& vectors) {
  const uint32_t count = FragmentCount(options.manifest.consensus());
  const absl::StatusOr<std::vector<Digest>> digests =
      WriteFragments(vectors, options.layout.digest(), options.initial.span(), count);
  if (!digests.ok()) return digests.status();
  std::vector<ConsensusVersion> versions(count);
  for (uint32_t f = 0; f < count; ++f) {
    const uint64_t elements = RangeOfFragment(options.layout.element_count(), count, f).size;
    versions[f].set_digest(ToBytes((*digests)[f]));
    versions[f].set_bytes(EncodedBytes(Encoding::kParametersFp32, elements));
  }
  return versions;
}

}  // namespace

absl::StatusOr<std::unique_ptr<InProcessCoordinator>> InProcessCoordinator::Create(
    const FederationOptions& options, const std::string& folder, simulation::Scheduler* scheduler) {
  absl::StatusOr<BlobDirectory> vectors = BlobDirectory::Open(folder + "/vectors");
  if (!vectors.ok()) return vectors.status();
  absl::StatusOr<BlobDirectory> contributions = BlobDirectory::Open(folder + "/contributions");
  if (!contributions.ok()) return contributions.status();
  const Encodings& encodings = options.manifest.encodings();
  const auto up = FormatFromName(encodings.up(), encodings.topk_density());
  if (!up.ok()) return up.status();
  const auto down = FormatFromName(encodings.down(), encodings.topk_density());
  if (!down.ok()) return down.status();
  const auto initial = InitialVersions(options, *vectors);
  if (!initial.ok()) return initial.status();
  const RoundState state =
      initial->size() == 1
          ? RoundMachine::InitialState(options.manifest, MembershipOf(options), initial->front())
          : RoundMachine::InitialState(options.manifest, MembershipOf(options), {}, *initial);
  std::unique_ptr<InProcessCoordinator> coordinator(new InProcessCoordinator(
      options, scheduler, *up, *down, state, *std::move(vectors), *std::move(contributions)));
  coordinator->Handle(CoordinatorStarted{kStartUnixMs});
  return coordinator;
}

InProcessCoordinator::InProcessCoordinator(const FederationOptions& options,
                                           simulation::Scheduler* scheduler, VectorFormat up,
                                           VectorFormat down, RoundState initial,
                                           BlobDirectory vectors, BlobDirectory contributions)
    : options_(options),
      scheduler_(scheduler),
      up_(up),
      down_(down),
      machine_(options.manifest, std::move(initial)),
      vectors_(std::move(vectors)),
      contributions_(std::move(contributions)) {
  shape_.layout = options.layout.digest();
  shape_.encoding = options.manifest.encodings().up();
  const uint32_t count = FragmentCount(options.manifest.consensus());
  for (uint32_t f = 0; f < count; ++f) {
    const uint64_t elements = RangeOfFragment(options.layout.element_count(), count, f).size;
    shape_.blob_bytes.push_back(EncodedBytes(up_, elements));
  }
}

void InProcessCoordinator::Fail(absl::Status status) {
  if (failure_.ok()) failure_ = std::move(status);
}

void InProcessCoordinator::Tick() {
  for (const Effect& effect : machine_.Step(TimeAdvanced{kStartUnixMs + scheduler_->now_ms()})) {
    Perform(effect);
  }
  WakeAtDeadline();
}

std::vector<Effect> InProcessCoordinator::Handle(const Event& event) {
  Tick();
  std::vector<Effect> effects = machine_.Step(event);
  for (const Effect& effect : effects) Perform(effect);
  WakeAtDeadline();
  return effects;
}

void InProcessCoordinator::WakeAtDeadline() {
  const int64_t at_ms = machine_.state().deadline_unix_ms() - kStartUnixMs;
  if (at_ms <= scheduler_->now_ms() || at_ms == awake_at_ms_) return;
  awake_at_ms_ = at_ms;
  scheduler_->After(at_ms - scheduler_->now_ms(), [this] { Tick(); });
}

void InProcessCoordinator::Perform(const Effect& effect) {
  if (std::holds_alternative<weft::Announce>(effect)) {
    // Told when what happens now is over, all at once.
    if (!std::exchange(announcing_, true)) scheduler_->After(0, [this] { Announce(); });
  } else if (const auto* keep = std::get_if<KeepRound>(&effect)) {
    rounds_.push_back(keep->record);
  } else if (const auto* step = std::get_if<RunOuterStep>(&effect)) {
    step_runs_ = true;
    scheduler_->After(0, [this, step = *step] { ComputeStep(step); });
  } else if (const auto* publish = std::get_if<PublishRelease>(&effect)) {
    scheduler_->After(0, [this, version = publish->version] { Handle(ReleasePublished{version}); });
  } else if (std::holds_alternative<RemoveUnneeded>(effect)) {
    if (!step_runs_) RemoveUnneededBlobs();
  } else if (std::holds_alternative<Evaluate>(effect)) {
    Fail(
        absl::UnimplementedError("a federation in one process has no evaluator: leave "
                                 "rounds.evaluation_seconds_max out"));
  }
}

void InProcessCoordinator::Announce() {
  announcing_ = false;
  // Each in a turn of its own: what one site does about it may change who watches.
  for (const auto& [site, watcher] : watchers_) {
    scheduler_->After(0, [announce = watcher.announce,
                          now = RoundEventFor(options_.manifest, machine_.state(), site,
                                              watcher.session)] { announce(now); });
  }
}

void InProcessCoordinator::ComputeStep(const RunOuterStep& step) {
  const OuterStepOptions options{.scheme = options_.manifest.consensus(),
                                 .down = down_,
                                 .vectors = &vectors_,
                                 .contributions = &contributions_};
  const absl::StatusOr<OuterStepResult> result = ComputeOuterStep(options, step.base, step.record);
  step_runs_ = false;
  if (!result.ok()) return Fail(result.status());
  Handle(OuterStepDone{step.record.round(), result->next, result->cosines, result->step_norm});
  if (!options_.on_round) return;
  const absl::StatusOr<ParameterVector> z = Consensus();
  if (!z.ok()) return Fail(z.status());
  options_.on_round(step.record, z->span());
}

void InProcessCoordinator::RemoveUnneededBlobs() {
  const std::set<Digest> needed = NamedDigests(machine_.state());
  for (const BlobDirectory* blobs : {&vectors_, &contributions_}) {
    for (const Digest& digest : blobs->List()) {
      if (needed.count(digest) > 0) continue;
      if (absl::Status status = blobs->Remove(digest); !status.ok()) return Fail(status);
    }
  }
}

absl::StatusOr<ParameterVector> InProcessCoordinator::Consensus() const {
  const RoundState& state = machine_.state();
  std::vector<std::string> parts;
  for (const ConsensusVersion& part : state.fragments()) parts.push_back(part.digest());
  if (parts.empty()) parts.push_back(state.consensus().digest());
  ParameterVector z(options_.layout.element_count());
  for (uint32_t f = 0; f < parts.size(); ++f) {
    const absl::StatusOr<Digest> digest = DigestFromBytes(parts[f]);
    if (!digest.ok()) return digest.status();
    absl::StatusOr<VectorReader> reader = VectorReader::Open(vectors_.PathOf(*digest));
    if (!reader.ok()) return reader.status();
    const FragmentRange range = RangeOfFragment(z.size(), parts.size(), f);
    absl::Status read = reader->Read(0, {}, z.span().subspan(range.begin, range.size));
    if (!read.ok()) return read;
  }
  return z;
}

JoinReply InProcessCoordinator::Join(const std::string& site) {
  const std::string session = absl::StrCat("session-of-", site);
  JoinReply reply = ReplyOf<JoinReply>(Handle(SiteJoined{site, session}));
  *reply.mutable_now() = RoundEventFor(options_.manifest, machine_.state(), site, session);
  *reply.mutable_context() = reply.now().context();
  return reply;
}

void InProcessCoordinator::OpenWatch(const std::string& site,
                                     std::function<void(const RoundEvent&)> announce) {
  const std::string session = absl::StrCat("session-of-", site);
  watchers_[site] = {session, std::move(announce)};
  Handle(SiteResumed{site, session});
}

absl::StatusOr<PushReply> InProcessCoordinator::Push(const Contribution& contribution,
                                                     const std::string& blob_path) {
  const std::string& site = contribution.site();
  Refusal refusal = CheckContext(options_.manifest, machine_.state(), contribution.context());
  if (!IsRefused(refusal)) {
    refusal = CheckContribution(options_.manifest, machine_.state(), shape_, site, contribution);
  }
  if (IsRefused(refusal)) {
    Handle(CallRefused{site, refusal});
    return Refused(refusal);
  }
  return CheckAndStore(contribution, blob_path);
}

absl::StatusOr<PushReply> InProcessCoordinator::CheckAndStore(const Contribution& contribution,
                                                              const std::string& blob_path) {
  const std::string& site = contribution.site();
  const absl::StatusOr<Digest> base = DigestFromBytes(contribution.base_digest());
  if (!base.ok()) return base.status();
  const absl::StatusOr<Digest> blob = DigestFromBytes(contribution.blob_digest());
  if (!blob.ok()) return blob.status();
  VectorHeader expected = FragmentHeader(options_.layout.digest(), options_.layout.element_count(),
                                         FragmentCount(options_.manifest.consensus()),
                                         contribution.context().fragment());
  expected.encoding = up_;
  if (IsDelta(up_)) expected.base = *base;
  const absl::StatusOr<ContributionCheck> check = CheckContributionVector(
      blob_path, expected, vectors_.PathOf(*base), options_.manifest.rounds().update_norm_max());
  if (!check.ok()) return check.status();
  if (IsRefused(check->refusal)) {
    Handle(CallRefused{site, check->refusal});
    return Refused(check->refusal);
  }
  std::error_code error;
  std::filesystem::create_hard_link(blob_path, contributions_.PathOf(*blob), error);
  if (error && error != std::errc::file_exists) {
    return absl::InternalError(absl::StrCat(blob_path, ": ", error.message()));
  }
  StoredContribution stored;
  stored.set_site(site);
  stored.set_digest(contribution.blob_digest());
  stored.set_bytes(contribution.blob_bytes());
  stored.set_encoding(contribution.encoding());
  stored.set_update_norm(check->update_norm);
  stored.set_inner_steps(contribution.inner_steps());
  stored.set_token_count(contribution.token_count());
  stored.set_base_version(contribution.context().base_version());
  stored.set_base_digest(contribution.base_digest());
  stored.set_validation_before(contribution.validation_before());
  stored.set_validation_after(contribution.validation_after());
  stored.set_primal_residual(contribution.primal_residual());
  const std::vector<Effect> effects =
      Handle(ContributionArrived{contribution.round(), stored, contribution.SerializeAsString()});
  PushReply reply = ReplyOf<PushReply>(effects);
  for (const Effect& effect : effects) {
    if (const auto* accept = std::get_if<Accept>(&effect)) {
      reply.set_stored(true);
      reply.set_receipt_digest(accept->receipt_digest);
    }
  }
  return reply;
}

ReportReply InProcessCoordinator::Report(const std::string& site, const RoundReport& report) {
  return ReplyOf<ReportReply>(Handle(ReportReceived{site, report}));
}

LeaveReply InProcessCoordinator::Leave(const std::string& site, const std::string& reason) {
  watchers_.erase(site);
  return ReplyOf<LeaveReply>(Handle(SiteLeft{site, absl::StrCat("session-of-", site), reason}));
}

}  // namespace weft::testing
