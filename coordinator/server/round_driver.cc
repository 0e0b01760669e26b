#include "coordinator/server/round_driver.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/server/kept_step.h"
#include "coordinator/server/outer_step.h"
#include "coordinator/server/release_publisher.h"
#include "coordinator/server/run_files.h"
#include "coordinator/store/rocksdb_round_store.h"
#include "model/parameters/fragments.h"
#include "ops/log.h"
#include "proto/check.h"
#include "proto/crash_point.h"
#include "proto/durable_file.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

std::string Hex(absl::string_view bytes) {
  const absl::StatusOr<Digest> digest = DigestFromBytes(bytes);
  return digest.ok() ? ToHex(*digest) : "";
}

void Log(const Decision& decision) {
  const std::string code = Decision::Code_Name(decision.code());
  std::string words = decision.reason();
  if (decision.code() == Decision::CALL_REFUSED) words = "refused: " + words;
  if (!decision.digest().empty()) words += ", digest " + ShortHex(decision.digest());
  const std::string refusal =
      decision.refusal() == Refusal::NONE ? "" : Refusal::Code_Name(decision.refusal());
  constexpr Decision::Code kWarnings[] = {
      Decision::CALL_REFUSED,       Decision::MEMBERSHIP_REFUSED, Decision::ROUND_EXTENDED,
      Decision::ROUND_ABANDONED,    Decision::CONSENSUS_REFUSED,  Decision::CONTRIBUTION_EXCLUDED,
      Decision::EVALUATION_AWAITED, Decision::RUN_PAUSED,         Decision::RUN_HALTED};
  const bool warn = std::count(std::begin(kWarnings), std::end(kWarnings), decision.code()) > 0;
  const std::string round = absl::StrCat(decision.round());
  if (warn) {
    LogWarning(
        words,
        {{"code", refusal.empty() ? code : refusal}, {"site", decision.site()}, {"round", round}});
  } else {
    LogInfo(words, {{"code", code}, {"site", decision.site()}, {"round", round}});
  }
}

// A vector that travels in parts is put together in a folder of its own, where nothing else removes
// what the state does not name.
absl::Status FindVector(const RunPaths& paths, const BlobDirectory& vectors,
                        const PublishRelease& publish, Release* release) {
  if (publish.fragment_digests.empty()) {
    release->digest = Hex(publish.digest);
    release->vector_path = absl::StrCat(vectors.folder(), "/", release->digest);
    return absl::OkStatus();
  }
  std::vector<Digest> fragments;
  for (const std::string& bytes : publish.fragment_digests) {
    fragments.push_back(*DigestFromBytes(bytes));
  }
  const absl::StatusOr<BlobDirectory> assembled = BlobDirectory::Open(paths.assembled());
  if (!assembled.ok()) return assembled.status();
  const absl::StatusOr<Digest> whole = AssembleFragments(vectors, fragments, *assembled);
  if (!whole.ok()) return whole.status();
  release->digest = ToHex(*whole);
  release->vector_path = assembled->PathOf(*whole);
  return absl::OkStatus();
}

// What tells one version of a file from another without reading it.
std::string Fingerprint(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return "";
  return absl::StrCat(info.st_size, "/", info.st_ino, "/", info.st_mtim.tv_sec, ".",
                      info.st_mtim.tv_nsec);
}

int64_t SteadyMs() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RoundDriver>> RoundDriver::Create(const LoadedRun& run,
                                                                 Options options,
                                                                 Listener listener) {
  auto store = RocksDbRoundStore::Open(run.paths.state(), RocksDbRoundStore::Mode::kServe);
  if (!store.ok()) return store.status();
  absl::StatusOr<RoundState> state = (*store)->LoadState();
  if (!state.ok()) return state.status();
  absl::StatusOr<BlobDirectory> vectors = BlobDirectory::Open(run.paths.blobs());
  if (!vectors.ok()) return vectors.status();
  const absl::StatusOr<Digest> base = DigestFromBytes(state->consensus().digest());
  if (!base.ok()) return base.status();
  if (absl::Status status = vectors->Verify(*base); !status.ok()) {
    return absl::DataLossError(
        absl::StrCat("the current consensus cannot be served: ", status.message()));
  }
  std::unique_ptr<RoundDriver> driver(new RoundDriver(run, options, std::move(listener),
                                                      *std::move(store), *std::move(state),
                                                      *std::move(vectors)));
  driver->work_.emplace();
  RoundDriver* raw = driver.get();
  driver->loop_.emplace(options.tick, [raw] { raw->Tick(); });
  return driver;
}

RoundDriver::RoundDriver(const LoadedRun& run, Options options, Listener listener,
                         std::unique_ptr<RoundStore> store, RoundState state, BlobDirectory vectors)
    : run_(run),
      options_(options),
      listener_(std::move(listener)),
      store_(std::move(store)),
      machine_(run.manifest.manifest, std::move(state)),
      clock_(machine_.state().now_unix_ms(), absl::ToUnixMillis(absl::Now()), SteadyMs()),
      vectors_(std::move(vectors)),
      snapshot_(std::make_shared<const RoundState>(machine_.state())) {}

RoundDriver::~RoundDriver() {
  if (!loop_.has_value()) return;
  // From here on nothing is decided: what long work brings is computed again by the next process.
  loop_->Post([this] { failure_ = absl::UnavailableError("the coordinator is ending"); });
  work_->Stop();
  loop_->Stop();
}

void RoundDriver::Submit(Event event, Done done) {
  loop_->Post([this, event = std::move(event), done = std::move(done)] {
    const Outcome outcome = Handle(event);
    if (done != nullptr) done(outcome);
  });
}

void RoundDriver::ReportTrouble(const absl::Status& status) {
  loop_->Post([this, status] {
    if (!failure_.ok()) return;
    const absl::string_view words = status.message();
    if (absl::StrContains(words, "Read-only file system") ||
        absl::StrContains(words, "Input/output error")) {
      return Fail(status);
    }
    LogWarning(absl::StrCat("a contribution cannot be taken now: ", words));
  });
}

std::shared_ptr<const RoundState> RoundDriver::state() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return snapshot_;
}

int64_t RoundDriver::UnixMs() const { return clock_.UnixMs(SteadyMs()); }

// The first tick comes before any event.
void RoundDriver::Tick() {
  if (!std::exchange(started_, true)) {
    const absl::Status status = Apply(machine_.Step(CoordinatorStarted{UnixMs()}));
    if (!status.ok()) return;
  }
  Handle(TimeAdvanced{UnixMs()}).IgnoreError();  // Fail has told the listener
  if (failure_.ok()) ReadMembershipIfChanged();
  if (failure_.ok()) {
    TakeOperatorCommands(run_.paths.commands(),
                         [this](const OperatorCommand& command) { return Obey(command); });
  }
  if (failure_.ok() && save_soon_) Save({}).IgnoreError();
  listener_.on_tick();
}

RoundDriver::Outcome RoundDriver::Handle(const Event& event) {
  if (!failure_.ok()) return failure_;
  // Every event happens at a time that the machine knows.
  if (!std::holds_alternative<TimeAdvanced>(event)) {
    absl::Status status = Apply(machine_.Step(TimeAdvanced{UnixMs()}));
    if (!status.ok()) return status;
  }
  if (const auto* arrived = std::get_if<ContributionArrived>(&event)) {
    // A late one lies in the folder of its round, which may have been removed meanwhile.
    const std::string path = absl::StrCat(run_.paths.contributions_of(arrived->round), "/",
                                          Hex(arrived->contribution.digest()));
    if (!fs::exists(path)) return absl::UnavailableError(path + " is gone: send it again");
  }
  std::vector<Effect> effects = machine_.Step(event);
  if (absl::Status status = Apply(effects); !status.ok()) return status;
  return effects;
}

absl::Status RoundDriver::Save(const std::vector<Effect>& effects) {
  save_soon_ = false;
  CrashPoint("before the commit");
  if (absl::Status status = store_->Commit(machine_.state(), effects); !status.ok()) Fail(status);
  CrashPoint("after the commit");
  return failure_;
}

absl::Status RoundDriver::Apply(const std::vector<Effect>& effects) {
  if (effects.empty()) return absl::OkStatus();
  const auto may_wait = [](const Effect& e) { return std::holds_alternative<SaveSoon>(e); };
  if (std::all_of(effects.begin(), effects.end(), may_wait)) {
    save_soon_ = true;
  } else if (absl::Status status = Save(effects); !status.ok()) {
    return status;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    snapshot_ = std::make_shared<const RoundState>(machine_.state());
  }
  for (const Effect& effect : effects) {
    Perform(effect);
    CrashPoint("after an effect");
  }
  return absl::OkStatus();
}

void RoundDriver::Perform(const Effect& effect) {
  if (const auto* record = std::get_if<Record>(&effect)) {
    Log(record->decision);
  } else if (std::holds_alternative<Announce>(effect)) {
    listener_.on_change();
  } else if (const auto* step = std::get_if<RunOuterStep>(&effect)) {
    outer_step_runs_ = true;
    work_->Post([this, step = *step] { DoOuterStep(step); });
  } else if (const auto* publish = std::get_if<PublishRelease>(&effect)) {
    work_->Post([this, publish = *publish] { DoPublish(publish); });
  } else if (std::holds_alternative<RemoveUnneeded>(effect)) {
    if (!outer_step_runs_) {
      RemoveUnneededFiles(run_.paths, vectors_, machine_.state(), options_.keep_contributions);
    }
  }
}

void RoundDriver::DoOuterStep(const RunOuterStep& step) {
  const uint64_t round = step.record.round();
  const auto compute = [this, &step, round]() -> absl::StatusOr<OuterStepResult> {
    const auto contributions = BlobDirectory::Open(run_.paths.contributions_of(round));
    if (!contributions.ok()) return contributions.status();
    if (absl::Status status = GatherContributions(run_.paths, step.record); !status.ok())
      return status;
    OuterStepOptions options;
    options.scheme = run_.manifest.manifest.consensus();
    const Encodings& encodings = run_.manifest.manifest.encodings();
    options.down = *FormatFromName(encodings.down(), encodings.topk_density());
    options.vectors = &vectors_;
    options.contributions = &*contributions;
    auto computed = ComputeOuterStep(options, step.base, step.record);
    if (!computed.ok() || !options_.keep_contributions) return computed;
    const absl::Status kept =
        KeepStep(run_.paths, vectors_, MakeKeptStep(step.base, step.record, computed->next));
    if (!kept.ok()) return kept;
    return computed;
  };
  const absl::StatusOr<OuterStepResult> result = compute();
  loop_->Post([this, round, result] {
    outer_step_runs_ = false;
    if (result.ok()) {
      Handle(OuterStepDone{round, result->next, result->cosines, result->step_norm}).IgnoreError();
    } else if (absl::IsInvalidArgument(result.status())) {
      Handle(OuterStepFailed{round, std::string(result.status().message())}).IgnoreError();
    } else {
      Fail(result.status());  // of the disk: run again, it may pass
    }
  });
}

void RoundDriver::DoPublish(const PublishRelease& publish) {
  Release release;
  release.version = publish.version;
  release.layout_digest = run_.manifest.manifest.layout_digest();
  absl::Status status = FindVector(run_.paths, vectors_, publish, &release);
  absl::StatusOr<std::vector<RoundRecord>> rounds = store_->Rounds();
  absl::StatusOr<std::vector<SiteReport>> reports = store_->Reports();
  if (status.ok()) status = rounds.ok() ? reports.status() : rounds.status();
  if (status.ok()) {
    uint64_t rounds_end = 0;
    for (RoundRecord& round : *rounds) {
      if (round.base_version() >= publish.version) continue;
      rounds_end = round.round() + 1;
      release.rounds.push_back(std::move(round));
    }
    for (SiteReport& report : *reports) {
      if (report.report().round() < rounds_end) release.reports.push_back(std::move(report));
    }
    status = WriteRelease(run_.paths.releases(), run_.manifest.manifest, run_.manifest.bytes,
                          run_.paths.tokenizer(), release);
  }
  std::error_code error;
  fs::remove_all(run_.paths.assembled(), error);
  loop_->Post([this, status, version = publish.version] {
    if (status.ok()) {
      Handle(ReleasePublished{version}).IgnoreError();
    } else {
      Fail(status);
    }
  });
}

void RoundDriver::ReadMembershipIfChanged() {
  const std::string seen = Fingerprint(run_.paths.membership());
  if (seen.empty() || seen == membership_seen_) return;
  membership_seen_ = seen;
  const auto membership = LoadSignedMembership(run_.paths.membership(), run_.identity.authorities);
  if (!membership.ok()) {
    LogError("the membership is not taken: " + std::string(membership.status().message()));
    return;
  }
  const bool same = membership->membership.SerializeAsString() ==
                    machine_.state().membership().SerializeAsString();
  if (!same) Handle(MembershipChanged{membership->membership}).IgnoreError();
}

OperatorAnswer RoundDriver::Obey(const OperatorCommand& command) {
  OperatorAnswer answer;
  const absl::StatusOr<Event> event = EventOf(command);
  const Outcome outcome = event.ok() ? Handle(*event) : Outcome(event.status());
  if (!outcome.ok()) {
    answer.set_words(std::string(outcome.status().message()));
    return answer;
  }
  answer.set_done(true);
  answer.set_words(machine_.state().reason());
  for (const Effect& effect : *outcome) {
    if (const auto* refuse = std::get_if<Refuse>(&effect)) {
      answer.set_done(false);
      answer.set_words(refuse->refusal.reason());
    }
  }
  return answer;
}

void RoundDriver::Fail(absl::Status status) {
  if (!failure_.ok()) return;
  failure_ =
      absl::UnavailableError(absl::StrCat("the coordinator has stopped: ", status.message()));
  LogError("stopping: " + std::string(status.message()));
  listener_.on_failure(std::move(status));
}

}  // namespace weft
