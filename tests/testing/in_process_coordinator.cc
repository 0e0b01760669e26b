#include "tests/testing/in_process_coordinator.h"

#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/round_view.h"
#include "coordinator/server/outer_step.h"
#include "coordinator/store/contribution_check.h"
#include "coordinator/tools/named_digests.h"
#include "proto/signed_statement.h"

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

}  // namespace

absl::StatusOr<std::unique_ptr<InProcessCoordinator>> InProcessCoordinator::Create(
    const FederationOptions& options, const std::string& folder, simulation::Scheduler* scheduler) {
  absl::StatusOr<BlobDirectory> vectors = BlobDirectory::Open(folder + "/vectors");
  if (!vectors.ok()) return vectors.status();
  absl::StatusOr<BlobDirectory> contributions = BlobDirectory::Open(folder + "/contributions");
  if (!contributions.ok()) return contributions.status();
  const VectorHeader header{.element_count = options.layout.element_count(),
                            .layout = options.layout.digest()};
  absl::StatusOr<Digest> initial = WriteVector(*vectors, header, options.initial.span(), {});
  if (!initial.ok()) return initial.status();
  ConsensusVersion consensus;
  consensus.set_digest(ToBytes(*initial));
  consensus.set_bytes(EncodedBytes(header.encoding, header.element_count));
  std::unique_ptr<InProcessCoordinator> coordinator(new InProcessCoordinator(
      options, scheduler,
      RoundMachine::InitialState(options.manifest, MembershipOf(options), consensus),
      *std::move(vectors), *std::move(contributions)));
  auto aggregator = MakeAggregator(options.manifest.consensus().combine());
  if (!aggregator.ok()) return aggregator.status();
  coordinator->aggregator_ = *std::move(aggregator);
  auto update = MakeOuterUpdate(options.manifest.consensus().outer());
  if (!update.ok()) return update.status();
  coordinator->update_ = *std::move(update);
  coordinator->Handle(CoordinatorStarted{kStartUnixMs});
  return coordinator;
}

InProcessCoordinator::InProcessCoordinator(const FederationOptions& options,
                                           simulation::Scheduler* scheduler, RoundState initial,
                                           BlobDirectory vectors, BlobDirectory contributions)
    : options_(options),
      scheduler_(scheduler),
      machine_(options.manifest, std::move(initial)),
      vectors_(std::move(vectors)),
      contributions_(std::move(contributions)) {}

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
  OuterStepOptions options;
  options.aggregator = aggregator_.get();
  options.update = update_.get();
  options.vectors = &vectors_;
  options.contributions = &contributions_;
  const absl::StatusOr<Encoding> down = EncodingFromName(options_.manifest.encodings().down());
  if (!down.ok()) return Fail(down.status());
  options.down = *down;
  const absl::StatusOr<ConsensusVersion> next = ComputeOuterStep(options, step.base, step.record);
  step_runs_ = false;
  if (!next.ok()) return Fail(next.status());
  Handle(OuterStepDone{step.record.round(), *next});
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
  const absl::StatusOr<Digest> digest = DigestFromBytes(machine_.state().consensus().digest());
  if (!digest.ok()) return digest.status();
  return ReadParameters(vectors_.PathOf(*digest), options_.layout.digest());
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

absl::StatusOr<PushReply> InProcessCoordinator::Push(const std::string& site,
                                                     const std::string& signed_contribution,
                                                     const std::string& blob_path) {
  const absl::StatusOr<SignedStatement> statement =
      ParseSignedStatement(signed_contribution, "a contribution");
  if (!statement.ok()) return statement.status();
  Contribution contribution;
  if (!contribution.ParseFromString(statement->payload)) {
    return absl::DataLossError("the signed payload is not a Contribution");
  }
  const absl::StatusOr<Encoding> up = EncodingFromName(options_.manifest.encodings().up());
  if (!up.ok()) return up.status();
  const ContributionShape shape{.layout = options_.layout.digest(),
                                .encoding = options_.manifest.encodings().up(),
                                .blob_bytes = EncodedBytes(*up, options_.layout.element_count())};
  const Refusal refusal =
      CheckContribution(options_.manifest, machine_.state(), shape, site, contribution);
  if (IsRefused(refusal)) {
    Handle(CallRefused{site, refusal});
    return Refused(refusal);
  }
  return CheckAndStore(site, contribution, signed_contribution, blob_path);
}

absl::StatusOr<PushReply> InProcessCoordinator::CheckAndStore(
    const std::string& site, const Contribution& contribution,
    const std::string& signed_contribution, const std::string& blob_path) {
  const absl::StatusOr<Digest> base = DigestFromBytes(contribution.base_digest());
  if (!base.ok()) return base.status();
  const absl::StatusOr<Digest> blob = DigestFromBytes(contribution.blob_digest());
  if (!blob.ok()) return blob.status();
  VectorHeader expected{.encoding = *EncodingFromName(contribution.encoding()),
                        .element_count = options_.layout.element_count(),
                        .layout = options_.layout.digest()};
  if (IsDelta(expected.encoding)) expected.base = *base;
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
  const std::vector<Effect> effects =
      Handle(ContributionArrived{contribution.round(), stored, signed_contribution});
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
